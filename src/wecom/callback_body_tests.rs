use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn text_of(body: &str) -> Option<String> {
    read(body.as_bytes()).unwrap().text("A").map(str::to_owned)
}

#[rstest]
#[case::plain("<xml><A>x</A></xml>", Some("x"))]
#[case::cdata("<xml><A><![CDATA[x]]></A></xml>", Some("x"))]
#[case::cdata_with_markup("<xml><A><![CDATA[<b>&amp;]]></A></xml>", Some("<b>&amp;"))]
#[case::cdata_in_two_parts("<xml><A><![CDATA[a]]]]><![CDATA[>b]]></A></xml>", Some("a]]>b"))]
#[case::references("<xml><A>a &amp; &lt;b&gt; &quot;&apos; &#20320;&#x597d;</A></xml>", Some("a & <b> \"' 你好"))]
#[case::indented("\u{feff}<?xml version=\"1.0\"?>\n<xml>\n  <A>\n    <![CDATA[x y]]>\n  </A>\n</xml>\n", Some("x y"))]
#[case::comment("<xml><!-- & --><A>x</A></xml>", Some("x"))]
#[case::attributes("<xml a='1'><A b=\"2\">x</A></xml>", Some("x"))]
#[case::chinese("<xml><姓名>李</姓名><A>你</A></xml>", Some("你"))]
#[case::absent("<xml><B>x</B></xml>", None)]
#[case::empty("<xml><A></A></xml>", None)]
#[case::empty_element("<xml><A/></xml>", None)]
#[case::empty_cdata("<xml><A><![CDATA[]]></A></xml>", None)]
#[case::space_only("<xml><A><![CDATA[  ]]></A></xml>", None)]
#[case::other_case("<xml><a>x</a></xml>", None)]
#[case::json(r#"{"A":"x"}"#, Some("x"))]
#[case::json_with_space(" \n{\"a\" : \"x\"}", Some("x"))]
#[case::json_number(r#"{"A":17}"#, Some("17"))]
#[case::json_null(r#"{"A":null}"#, None)]
fn an_element_has_one_text_however_it_is_written(#[case] body: &str, #[case] expected: Option<&str>) {
    assert_eq!(text_of(body).as_deref(), expected);
}

#[rstest]
#[case::empty("", "it is empty")]
#[case::space("  \n", "it is empty")]
#[case::text("hello", "neither XML nor JSON")]
#[case::doctype("<!DOCTYPE xml><xml><A>x</A></xml>", "document type")]
#[case::own_entity("<!DOCTYPE xml [<!ENTITY e 'x'>]><xml><A>&e;</A></xml>", "document type")]
#[case::outside_entity(
    "<!DOCTYPE xml [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><xml><A>&e;</A></xml>",
    "document type"
)]
#[case::undeclared_entity("<xml><A>&e;</A></xml>", "an entity of its own")]
#[case::bad_reference("<xml><A>&#0;</A></xml>", "")]
#[case::lone_ampersand("<xml><A>a & b</A></xml>", "")]
#[case::not_closed("<xml><A>x</A>", "not closed")]
#[case::cut_off("<xml><A><![CDATA[x", "")]
#[case::crossed("<xml><A><B></A></B></xml>", "")]
#[case::closed_twice("<xml></xml></xml>", "")]
#[case::two_roots("<xml></xml><xml></xml>", "more than one element")]
#[case::text_outside("<xml></xml>x", "outside of its elements")]
#[case::declaration_only("<?xml version=\"1.0\"?>", "no element")]
#[case::broken_json("{\"A\":", "")]
#[case::json_list("[1]", "neither XML nor JSON")]
fn what_is_no_plain_document_cannot_be_read(#[case] body: &str, #[case] why: &str) {
    let Unreadable(error) = read(body.as_bytes()).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn bytes_that_are_no_utf_8_cannot_be_read() {
    assert!(read(b"<xml><A>\xff</A></xml>").is_err());
}

#[test]
fn depth_and_number_of_elements_are_bounded_in_both_forms() {
    let nested = |depth: usize| format!("{}x{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(read(nested(DEEPEST).as_bytes()).is_ok());
    assert!(read(nested(DEEPEST + 1).as_bytes()).is_err());
    assert!(read(nested(100_000).as_bytes()).is_err());
    let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(read(nested(DEEPEST - 1).as_bytes()).is_ok());
    assert!(read(nested(DEEPEST).as_bytes()).is_err());
    assert!(read(nested(100_000).as_bytes()).is_err());
    let lists = format!(r#"{{"a":{}1{}}}"#, "[".repeat(60), "]".repeat(60));
    assert!(read(lists.as_bytes()).is_err());

    let many = |count: usize| format!("<xml>{}</xml>", "<a/>".repeat(count));
    assert!(read(many(MOST_ELEMENTS - 1).as_bytes()).is_ok());
    assert!(read(many(MOST_ELEMENTS).as_bytes()).is_err());
    let many = format!("{{\"a\":[{}1]}}", "1,".repeat(MOST_ELEMENTS));
    assert!(read(many.as_bytes()).is_err());
}

#[rstest]
#[case::commas("<xml><L>1,2, 3</L></xml>")]
#[case::bars("<xml><L><![CDATA[1|2|3]]></L></xml>")]
#[case::items("<xml><L><Item>1</Item><Item><![CDATA[2]]></Item>\n<Item>3</Item></L></xml>")]
#[case::repeated("<xml><L>1</L><B/><L><![CDATA[2]]></L><L>3</L></xml>")]
#[case::empty_parts("<xml><L>,1,,2,3,</L><L/></xml>")]
#[case::json_list(r#"{"L":["1","2",3]}"#)]
#[case::json_commas(r#"{"l":"1,2,3"}"#)]
#[case::json_items(r#"{"L":{"Item":["1",2,"3"]}}"#)]
fn a_list_is_the_same_in_every_shape(#[case] body: &str) {
    let root = read(body.as_bytes()).unwrap();
    assert_eq!(root.list("L"), ["1", "2", "3"]);
    let data = collect(&root, &[("L", "l", Shape::Numbers)]);
    assert_eq!(Value::Object(data), serde_json::json!({ "l": [1, 2, 3] }));
}

#[test]
fn numbers_may_stand_in_cdata_and_what_is_no_number_is_left_out() {
    let root = read(b"<xml><A><![CDATA[ 7 ]]></A><B>-8</B><C>x</C><D/><E>9999999999999999999</E></xml>").unwrap();
    let fields = ["A", "B", "C", "D", "E"].map(|name| (name, name, Shape::Number));
    assert_eq!(Value::Object(collect(&root, &fields)), serde_json::json!({ "A": 7, "B": -8 }));
}

#[test]
fn json_may_spell_names_in_its_own_way() {
    let root = read(br#"{"create_time":1,"msgtype":"text","FromUserName":"li"}"#).unwrap();
    assert_eq!((root.number("CreateTime"), root.text("MsgType")), (Some(1), Some("text")));
    assert_eq!(root.text("FromUserName"), Some("li"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(read(&bytes));
    }

    #[test]
    fn no_pieces_of_xml_make_it_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "<xml>", "</xml>", "<A>", "</A>", "<A/>", "<A a=\"", "<![CDATA[", "]]>", "<!--", "-->", "<?x ?>", "<!DOCTYPE x", "[",
        "]>", "<!ENTITY a \"b\">", "&amp;", "&#65;", "&#xD800;", "&a;", "&", "<", ">", "你", "\u{0}", "\r\n", " ", "x",
    ]), 0..40)) {
        drop(read(pieces.concat().as_bytes()));
    }

    #[test]
    fn any_text_comes_out_of_an_element_as_it_went_in(text in "\\PC{0,80}") {
        let escaped = quick_xml::escape::escape(&text);
        let root = format!("<xml><A>{escaped}</A></xml>");
        prop_assert_eq!(text_of(&root).unwrap_or_default(), text.trim());
        let json = serde_json::json!({ "A": text }).to_string();
        prop_assert_eq!(text_of(&json).unwrap_or_default(), text.trim());
    }
}
