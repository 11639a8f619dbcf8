use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

/// The common envelope around a callback's own elements.
fn xml(event: &str, inner: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>\
         <CreateTime>1700000000</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{event}]]></Event>\
         {inner}</xml>"
    )
}

fn changed(event: &str, change: &str, inner: &str) -> String {
    xml(event, &format!("<ChangeType><![CDATA[{change}]]></ChangeType>{inner}"))
}

/// What staff do in the app.
fn from_staff(msgtype: &str, inner: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName><FromUserName><![CDATA[LiLi]]></FromUserName>\
         <CreateTime>1700000000</CreateTime><MsgType><![CDATA[{msgtype}]]></MsgType>{inner}\
         <AgentID>1000002</AgentID></xml>"
    )
}

fn staff_event(event: &str, inner: &str) -> String {
    from_staff("event", &format!("<Event><![CDATA[{event}]]></Event>{inner}"))
}

fn app() -> AppId {
    AppId::parse("assistant").unwrap()
}

fn read(body: &str) -> Parsed {
    parse(&app(), body.as_bytes()).unwrap()
}

#[track_caller]
fn check(body: &str, family: impl Into<Option<Family>>, actor: &str, kind: &str, data: Value) {
    let parsed = read(body);
    assert_eq!(parsed.family, family.into());
    assert_eq!((parsed.event.actor.to_string().as_str(), parsed.event.kind.as_str()), (actor, kind));
    assert_eq!(Value::Object(parsed.event.data), data);
    assert_eq!((parsed.event.at.timestamp_millis(), parsed.event.hops), (1_700_000_000_000, 0));
}

/// A callback that nothing handles keeps its names and its text.
#[track_caller]
fn check_unknown(body: &str, family: impl Into<Option<Family>>, mut names: Value) {
    names["app"] = json!("assistant");
    names["raw"] = json!(body);
    check(body, family, "corp", types::CALLBACK_UNKNOWN, names);
}

#[test]
fn the_documents_sample_of_an_adding_is_read_as_it_stands() {
    let body = "<xml>
  <ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName>
  <FromUserName><![CDATA[sys]]></FromUserName>
  <CreateTime>1700000000</CreateTime>
  <MsgType><![CDATA[event]]></MsgType>
  <Event><![CDATA[change_external_contact]]></Event>
  <ChangeType><![CDATA[add_external_contact]]></ChangeType>
  <UserID><![CDATA[alice]]></UserID>
  <ExternalUserID><![CDATA[wmEXAMPLE0001]]></ExternalUserID>
  <State><![CDATA[expo-2026]]></State>
  <WelcomeCode><![CDATA[CODE]]></WelcomeCode>
</xml>";
    let data = json!({ "userid": "alice", "state": "expo-2026", "welcome_code": "CODE" });
    check(body, Family::Contacts, "customer:wmEXAMPLE0001", "contact.added", data);
}

const PAIR: &str =
    "<UserID><![CDATA[LiLi]]></UserID><ExternalUserID><![CDATA[wm1]]></ExternalUserID><WelcomeCode/><State></State>";

#[rstest]
#[case::added("add_external_contact", "", "contact.added", json!({ "userid": "LiLi" }))]
#[case::half_added("add_half_external_contact", "", "contact.half_added", json!({ "userid": "LiLi" }))]
#[case::edited("edit_external_contact", "", "contact.edited", json!({ "userid": "LiLi" }))]
#[case::deleted("del_external_contact", "", "contact.deleted", json!({ "userid": "LiLi" }))]
#[case::transferred_away(
    "del_external_contact",
    "<Source><![CDATA[DELETE_BY_TRANSFER]]></Source>",
    "contact.deleted",
    json!({ "userid": "LiLi", "source": "DELETE_BY_TRANSFER" })
)]
#[case::lost("del_follow_user", "", "contact.lost", json!({ "userid": "LiLi" }))]
#[case::transfer_failed(
    "transfer_fail",
    "<FailReason><![CDATA[customer_refused]]></FailReason>",
    "contact.transfer_failed",
    json!({ "userid": "LiLi", "reason": "customer_refused" })
)]
fn what_happens_between_staff_and_customer_is_for_the_customer(
    #[case] change: &str,
    #[case] inner: &str,
    #[case] kind: &str,
    #[case] data: Value,
) {
    let body = changed("change_external_contact", change, &format!("{PAIR}{inner}"));
    check(&body, Family::Contacts, "customer:wm1", kind, data);
}

#[test]
fn the_half_adding_brings_its_code_and_state() {
    let inner = "<UserID>LiLi</UserID><ExternalUserID>wm1</ExternalUserID><State>store-01</State>\
                 <WelcomeCode>W1</WelcomeCode>";
    let body = changed("change_external_contact", "add_half_external_contact", inner);
    let data = json!({ "userid": "LiLi", "state": "store-01", "welcome_code": "W1" });
    check(&body, Family::Contacts, "customer:wm1", "contact.half_added", data);
}

#[test]
fn the_documents_sample_of_a_group_is_read_as_it_stands() {
    let body = changed(
        "change_external_chat",
        "update",
        "<ChatId><![CDATA[wrEXAMPLECHAT]]></ChatId><UpdateDetail><![CDATA[add_member]]></UpdateDetail>
  <JoinScene>3</JoinScene>
  <MemChangeCnt>2</MemChangeCnt>
  <MemChangeList><Item>wmEXAMPLE0001</Item><Item>wmEXAMPLE0002</Item></MemChangeList>
  <LastMemVer><![CDATA[00000000000000000000000000000001]]></LastMemVer>
  <CurMemVer><![CDATA[00000000000000000000000000000002]]></CurMemVer>",
    );
    let data = json!({
        "chat_id": "wrEXAMPLECHAT",
        "change": "update",
        "update_detail": "add_member",
        "join_scene": 3,
        "mem_change_cnt": 2,
        "mem_change_list": ["wmEXAMPLE0001", "wmEXAMPLE0002"],
        "last_mem_ver": "00000000000000000000000000000001",
        "cur_mem_ver": "00000000000000000000000000000002",
    });
    check(&body, Family::Contacts, "group:wrEXAMPLECHAT", "group.joined", data);
}

#[rstest]
#[case::created("create", "", "group.changed", json!({ "chat_id": "wr1", "change": "create" }))]
#[case::dismissed("dismiss", "", "group.changed", json!({ "chat_id": "wr1", "change": "dismiss" }))]
#[case::left(
    "update",
    "<UpdateDetail>del_member</UpdateDetail><QuitScene><![CDATA[0]]></QuitScene><MemChangeList>wm1,LiLi</MemChangeList>",
    "group.left",
    json!({ "chat_id": "wr1", "change": "update", "update_detail": "del_member", "quit_scene": 0,
            "mem_change_list": ["wm1", "LiLi"] })
)]
#[case::joined_without_a_list(
    "update",
    "<UpdateDetail>add_member</UpdateDetail><JoinScene>1</JoinScene>",
    "group.joined",
    json!({ "chat_id": "wr1", "change": "update", "update_detail": "add_member", "join_scene": 1 })
)]
#[case::owner(
    "update",
    "<UpdateDetail>change_owner</UpdateDetail>",
    "group.changed",
    json!({ "chat_id": "wr1", "change": "update", "update_detail": "change_owner" })
)]
#[case::renamed(
    "update",
    "<UpdateDetail>change_name</UpdateDetail>",
    "group.changed",
    json!({ "chat_id": "wr1", "change": "update", "update_detail": "change_name" })
)]
#[case::announced(
    "update",
    "<UpdateDetail>change_notice</UpdateDetail>",
    "group.changed",
    json!({ "chat_id": "wr1", "change": "update", "update_detail": "change_notice" })
)]
fn what_happens_in_a_group_is_for_the_group(
    #[case] change: &str,
    #[case] inner: &str,
    #[case] kind: &str,
    #[case] data: Value,
) {
    let body = changed("change_external_chat", change, &format!("<ChatId>wr1</ChatId>{inner}"));
    check(&body, Family::Contacts, "group:wr1", kind, data);
}

#[rstest]
#[case("create", "tag", "tag.created")]
#[case("update", "tag_group", "tag.changed")]
#[case("delete", "tag_group", "tag.deleted")]
fn corp_tags_are_the_corps(#[case] change: &str, #[case] tag_type: &str, #[case] kind: &str) {
    let inner = format!("<Id><![CDATA[et1]]></Id><TagType>{tag_type}</TagType><StrategyId><![CDATA[1]]></StrategyId>");
    let data = json!({ "change": change, "id": "et1", "tag_type": tag_type, "strategy_id": "1" });
    check(&changed("change_external_tag", change, &inner), Family::Contacts, "corp", kind, data);
}

#[rstest]
#[case("<Id>et1</Id>", json!({ "change": "shuffle", "id": "et1" }))]
#[case("<Id></Id>", json!({ "change": "shuffle" }))]
fn a_shuffle_is_a_change_of_one_group_or_of_all(#[case] inner: &str, #[case] data: Value) {
    check(&changed("change_external_tag", "shuffle", inner), Family::Contacts, "corp", "tag.changed", data);
}

#[rstest]
#[case("balance_low", "", json!({}))]
#[case("balance_exhausted", "", json!({}))]
#[case("balance_increased", "", json!({}))]
#[case(
    "quota_expire_soon",
    "<ExpireTime>1700086400</ExpireTime><ExpireQuotaNum>12</ExpireQuotaNum>",
    json!({ "expire_time": 1_700_086_400, "expire_quota_num": 12 })
)]
#[case("link_unavailable", "<LinkId>cawcde1</LinkId>", json!({ "link_id": "cawcde1" }))]
#[case("delete_link", "<LinkId>cawcde1</LinkId>", json!({ "link_id": "cawcde1" }))]
fn trouble_with_acquisition_links_is_an_alert(#[case] change: &str, #[case] inner: &str, #[case] mut data: Value) {
    data["change"] = json!(change);
    let body = changed("customer_acquisition", change, inner);
    check(&body, Family::Contacts, "corp", "acquisition.alert", data);
}

#[rstest]
#[case("open_profile", "<LinkId>l</LinkId><State>s</State>", "corp", json!({ "link_id": "l", "state": "s" }))]
#[case("friend_request", "<LinkId>l</LinkId><State>s</State>", "corp", json!({ "link_id": "l", "state": "s" }))]
#[case("customer_start_chat", PAIR, "customer:wm1", json!({ "userid": "LiLi" }))]
#[case("del_follow_user", PAIR, "customer:wm1", json!({ "userid": "LiLi" }))]
#[case(
    "message_from_customer",
    "<LinkId>l</LinkId><ChatKey>secret</ChatKey>",
    "corp",
    json!({ "link_id": "l" })
)]
fn use_of_acquisition_links_is_for_the_customer_where_one_is_named(
    #[case] change: &str,
    #[case] inner: &str,
    #[case] actor: &str,
    #[case] mut data: Value,
) {
    data["change"] = json!(change);
    let body = changed("customer_acquisition", change, inner);
    check(&body, Family::Contacts, actor, "acquisition.activity", data);
}

#[rstest]
#[case::created(
    "create_user",
    "<UserID>LiLi</UserID><Department><![CDATA[1,2,3]]></Department>",
    "directory.staff_changed",
    json!({ "userid": "LiLi", "department": [1, 2, 3] })
)]
#[case::old_style(
    "create_user",
    "<UserID>LiLi</UserID><Name>李丽</Name><Mobile>13800000000</Mobile><Department>1</Department>\
     <IsLeaderInDept>1</IsLeaderInDept><DirectLeader><![CDATA[a,b]]></DirectLeader><Status>1</Status>\
     <ExtAttr><Item><Name><![CDATA[hobby]]></Name><Type>0</Type><Text><Value><![CDATA[chess]]></Value></Text></Item></ExtAttr>",
    "directory.staff_changed",
    json!({ "userid": "LiLi", "department": [1], "is_leader_in_dept": [1], "direct_leader": ["a", "b"], "status": 1 })
)]
#[case::renamed(
    "update_user",
    "<UserID>LiLi</UserID><NewUserID>lili2</NewUserID>",
    "directory.staff_changed",
    json!({ "userid": "LiLi", "new_userid": "lili2" })
)]
#[case::renamed_in_the_other_spelling(
    "update_user",
    "<UserID>LiLi</UserID><NewUserId>lili2</NewUserId><DirectLeader>a|b</DirectLeader>",
    "directory.staff_changed",
    json!({ "userid": "LiLi", "new_userid": "lili2", "direct_leader": ["a", "b"] })
)]
#[case::left_by_status(
    "update_user",
    "<UserID>LiLi</UserID><Status>5</Status>",
    "directory.staff_left",
    json!({ "userid": "LiLi", "status": 5 })
)]
#[case::left("delete_user", "<UserID>LiLi</UserID>", "directory.staff_left", json!({ "userid": "LiLi" }))]
#[case::department(
    "create_party",
    "<Id>2</Id><Name>门店</Name><ParentId><![CDATA[1]]></ParentId><Order>1</Order>",
    "directory.changed",
    json!({ "id": 2, "parent_id": 1, "order": 1 })
)]
#[case::department_moved(
    "update_party",
    "<Id>2</Id><ParentId>3</ParentId>",
    "directory.changed",
    json!({ "id": 2, "parent_id": 3 })
)]
#[case::department_deleted("delete_party", "<Id>2</Id>", "directory.changed", json!({ "id": 2 }))]
#[case::member_tag(
    "update_tag",
    "<TagId>1</TagId><AddUserItems><![CDATA[a,b]]></AddUserItems><DelUserItems/>\
     <AddPartyItems><![CDATA[1,2]]></AddPartyItems>",
    "directory.changed",
    json!({ "tag_id": 1, "add_user_items": ["a", "b"], "add_party_items": [1, 2] })
)]
fn the_address_book_is_the_corps(
    #[case] change: &str,
    #[case] inner: &str,
    #[case] kind: &str,
    #[case] mut data: Value,
) {
    data["change"] = json!(change);
    check(&changed("change_contact", change, inner), Family::Directory, "corp", kind, data);
}

#[rstest]
#[case::text("text", "<Content><![CDATA[退订 & 帮助]]></Content><MsgId>4561255354251345929</MsgId>",
    json!({ "text": "退订 & 帮助", "msgid": "4561255354251345929" }))]
#[case::image("image", "<PicUrl>https://p</PicUrl><MediaId>m</MediaId>", json!({ "pic_url": "https://p", "media_id": "m" }))]
#[case::voice("voice", "<MediaId>m</MediaId><Format>amr</Format>", json!({ "media_id": "m", "format": "amr" }))]
#[case::video("video", "<MediaId>m</MediaId><ThumbMediaId>t</ThumbMediaId>",
    json!({ "media_id": "m", "thumb_media_id": "t" }))]
#[case::location(
    "location",
    "<Location_X>23.134</Location_X><Location_Y>113.358</Location_Y><Scale>20</Scale><Label>一号店</Label>",
    json!({ "location_x": "23.134", "location_y": "113.358", "scale": 20, "label": "一号店" })
)]
#[case::link("link", "<Title>t</Title><Description>d</Description><Url>u</Url><PicUrl>p</PicUrl>",
    json!({ "title": "t", "description": "d", "url": "u", "pic_url": "p" }))]
#[case::later_type("hologram", "<Content>x</Content>", json!({ "text": "x" }))]
fn what_staff_write_is_for_the_staff_member(#[case] msgtype: &str, #[case] inner: &str, #[case] mut data: Value) {
    data["userid"] = json!("LiLi");
    data["agent_id"] = json!(1_000_002);
    data["msgtype"] = json!(msgtype);
    check(&from_staff(msgtype, inner), Family::Messages, "staff:lili", "staff.message", data);
}

#[test]
fn the_documents_sample_of_a_card_is_read_as_it_stands() {
    let body = "<xml>
  <ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName>
  <FromUserName><![CDATA[Alice]]></FromUserName>
  <CreateTime>1700000000</CreateTime>
  <MsgType><![CDATA[event]]></MsgType>
  <Event><![CDATA[template_card_event]]></Event>
  <EventKey><![CDATA[submit]]></EventKey>
  <TaskId><![CDATA[task-1]]></TaskId>
  <CardType><![CDATA[vote_interaction]]></CardType>
  <ResponseCode><![CDATA[RC]]></ResponseCode>
  <AgentID>1000002</AgentID>
  <SelectedItems>
    <SelectedItem>
      <QuestionKey><![CDATA[q1]]></QuestionKey>
      <OptionIds><OptionId><![CDATA[a]]></OptionId><OptionId><![CDATA[b]]></OptionId></OptionIds>
    </SelectedItem>
    <SelectedItem><QuestionKey>q2</QuestionKey><OptionIds/></SelectedItem>
  </SelectedItems>
</xml>";
    let data = json!({
        "userid": "Alice",
        "agent_id": 1_000_002,
        "task_id": "task-1",
        "key": "submit",
        "card_type": "vote_interaction",
        "response_code": "RC",
        "selected": { "q1": ["a", "b"], "q2": [] },
    });
    check(body, Family::Messages, "staff:alice", "staff.card", data);
}

#[test]
fn a_tap_in_a_cards_menu_is_a_tap_on_the_card() {
    let inner = "<EventKey>mute</EventKey><TaskId>t1</TaskId><ResponseCode>RC</ResponseCode>";
    let data =
        json!({ "userid": "LiLi", "agent_id": 1_000_002, "task_id": "t1", "key": "mute", "response_code": "RC" });
    let body = staff_event("template_card_menu_event", inner);
    check(&body, Family::Messages, "staff:lili", "staff.card", data);
}

#[rstest]
#[case("click", "<EventKey>today</EventKey>", json!({ "key": "today" }))]
#[case("view", "<EventKey>https://x</EventKey>", json!({ "key": "https://x" }))]
#[case("view_miniprogram", "<EventKey>pages/a</EventKey>", json!({ "key": "pages/a" }))]
#[case("scancode_push", "<EventKey>k</EventKey><ScanCodeInfo><ScanType>qrcode</ScanType><ScanResult>1</ScanResult></ScanCodeInfo>",
    json!({ "key": "k", "scan_type": "qrcode", "scan_result": "1" }))]
#[case("scancode_waitmsg", "<ScanCodeInfo><ScanResult>1</ScanResult></ScanCodeInfo>", json!({ "scan_result": "1" }))]
#[case("pic_sysphoto", "<SendPicsInfo><Count>1</Count><PicList><item><PicMd5Sum>m</PicMd5Sum></item></PicList></SendPicsInfo>",
    json!({ "count": 1 }))]
#[case("pic_photo_or_album", "<EventKey>k</EventKey>", json!({ "key": "k" }))]
#[case("pic_weixin", "<EventKey>k</EventKey>", json!({ "key": "k" }))]
#[case("location_select", "<SendLocationInfo><Location_X>1.5</Location_X><Poiname>p</Poiname></SendLocationInfo>",
    json!({ "location_x": "1.5", "poiname": "p" }))]
fn a_menu_entry_is_for_the_staff_member(#[case] event: &str, #[case] inner: &str, #[case] mut data: Value) {
    data["userid"] = json!("LiLi");
    data["agent_id"] = json!(1_000_002);
    data["action"] = json!(event);
    check(&staff_event(event, inner), Family::Messages, "staff:lili", "staff.menu", data);
}

#[test]
fn opening_the_app_is_for_the_staff_member() {
    let data = json!({ "userid": "LiLi", "agent_id": 1_000_002 });
    check(&staff_event("enter_agent", "<EventKey/>"), Family::Messages, "staff:lili", "staff.entered", data);
}

#[rstest]
#[case("inactive_alert", "<EffectTime>1700086400</EffectTime>", json!({ "effect_time": 1_700_086_400 }))]
#[case("close_inactive_agent", "", json!({}))]
#[case("reopen_inactive_agent", "", json!({}))]
#[case("low_active_alert", "<EffectTime>1700086400</EffectTime>", json!({ "effect_time": 1_700_086_400 }))]
#[case("low_active", "", json!({}))]
#[case("active_restored", "", json!({}))]
fn an_app_that_loses_its_rights_is_news_whatever_it_serves(
    #[case] event: &str,
    #[case] inner: &str,
    #[case] mut data: Value,
) {
    data["change"] = json!(event);
    data["app"] = json!("assistant");
    data["agent_id"] = json!(1_000_002);
    check(&xml(event, &format!("<AgentID>1000002</AgentID>{inner}")), None, "corp", "app.inactive", data);
}

#[test]
fn the_wake_up_of_a_kf_account_is_for_the_account() {
    let body = "<xml><ToUserName>ww-made-up</ToUserName><CreateTime>1700000000</CreateTime><MsgType>event</MsgType>
<Event>kf_msg_or_event</Event><Token>TKN-made-up</Token><OpenKfId>wk-made-up</OpenKfId></xml>";
    let data = json!({ "token": "TKN-made-up", "open_kfid": "wk-made-up" });
    check(body, Family::Kf, "kf:wk-made-up", "kf.woken", data);
}

#[rstest]
#[case::unheard_of("brand_new_event", None)]
#[case::other_case("CLICK", None)]
#[case::job("batch_job_result", None)]
#[case::approval("open_approval_change", None)]
#[case::system_approval("sys_approval_change", None)]
#[case::shared("share_agent_change", None)]
#[case::shared_chain("share_chain_change", None)]
#[case::upload("upload_media_job_finish", None)]
#[case::archive("msgaudit_notify", None)]
#[case::visible("subscribe", Some(Family::Messages))]
#[case::invisible("unsubscribe", Some(Family::Messages))]
#[case::position("LOCATION", Some(Family::Messages))]
#[case::kf_grants("kf_account_auth_change", Some(Family::Kf))]
fn an_event_that_nothing_handles_is_kept_whole(#[case] event: &str, #[case] family: Option<Family>) {
    check_unknown(&xml(event, "<A><B>1</B></A>"), family, json!({ "event": event }));
}

#[rstest]
#[case("change_external_contact", "msg_audit_approved", Family::Contacts)]
#[case("change_external_contact", "later", Family::Contacts)]
#[case("change_external_chat", "del_follow_user", Family::Contacts)]
#[case("change_external_tag", "dismiss", Family::Contacts)]
#[case("customer_acquisition", "service_balance_low", Family::Contacts)]
#[case("change_contact", "add_external_contact", Family::Directory)]
fn a_change_that_its_family_does_not_know_is_kept_whole(
    #[case] event: &str,
    #[case] change: &str,
    #[case] family: Family,
) {
    check_unknown(&changed(event, change, PAIR), family, json!({ "event": event, "change": change }));
}

#[test]
fn a_body_without_any_event_or_message_is_kept_whole() {
    check_unknown("<xml><CreateTime>1700000000</CreateTime></xml>", None, json!({}));
    check_unknown("<xml><CreateTime>1700000000</CreateTime><MsgType>event</MsgType></xml>", None, json!({}));
}

#[test]
fn what_is_kept_of_an_unknown_callback_is_bounded_and_never_half_a_character() {
    let long_name = "长".repeat(100);
    let parsed = read(&xml(&long_name, &format!("<A>{}</A>", "文".repeat(40_000))));
    let (name, raw) = (parsed.event.text("event").unwrap(), parsed.event.text("raw").unwrap());
    assert_eq!(name, "长".repeat(21));
    assert!((MOST_RAW_BYTES - 2..=MOST_RAW_BYTES).contains(&raw.len()), "{} bytes", raw.len());
    assert!(raw.starts_with("<xml>") && raw.ends_with('文'));
}

#[rstest]
#[case::no_xml("hello", "neither XML nor JSON")]
#[case::no_moment("<xml><MsgType>event</MsgType><Event>click</Event></xml>", "CreateTime is missing")]
#[case::early("<xml><CreateTime>-1</CreateTime></xml>", "no moment")]
#[case::late("<xml><CreateTime>253402300800</CreateTime></xml>", "no moment")]
#[case::no_customer(&changed("change_external_contact", "add_external_contact", "<UserID>LiLi</UserID>"),
    "ExternalUserID is missing")]
#[case::no_staff(&changed("change_external_contact", "del_follow_user", "<ExternalUserID>wm1</ExternalUserID>"),
    "UserID is missing")]
#[case::impossible_customer(
    &changed("change_external_contact", "del_follow_user", "<UserID>a</UserID><ExternalUserID>w m</ExternalUserID>"),
    "not a valid external_userid"
)]
#[case::no_group(&changed("change_external_chat", "dismiss", ""), "ChatId is missing")]
#[case::no_account(&xml("kf_msg_or_event", "<Token>t</Token>"), "OpenKfId is missing")]
#[case::no_sender(&xml("click", "").replace("sys", ""), "FromUserName is missing")]
#[case::impossible_sender(&xml("enter_agent", "").replace("sys", "李 丽"), "not a valid userid")]
fn what_lacks_actor_or_moment_cannot_be_read(#[case] body: &str, #[case] why: &str) {
    let error = parse(&app(), body.as_bytes()).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn what_cannot_be_read_is_set_aside_with_its_error_and_the_same_id_each_time() {
    let at = DateTime::from_timestamp(1_700_000_007, 0).unwrap();
    let body = b"<xml>\xff";
    let error = parse(&app(), body).unwrap_err();
    let event = unreadable(&app(), body, &error, at);
    assert_eq!((event.kind.as_str(), &event.actor, event.at), (types::CALLBACK_UNREADABLE, &Actor::Corp, at));
    assert_eq!(event.text("error").unwrap(), error.to_string());
    assert_eq!((event.text("app"), event.text("raw")), (Some("assistant"), Some("<xml>\u{fffd}")));
    assert_eq!(event.id, unreadable(&app(), body, &error, DateTime::UNIX_EPOCH).id);
    assert_ne!(event.id, unreadable(&app(), b"<xml>", &error, at).id);
}

#[test]
fn the_id_is_the_sha_256_of_the_decrypted_body() {
    let first = changed("change_external_contact", "edit_external_contact", PAIR);
    let second = first.replace("wm1", "wm2");
    let hash = HEXLOWER.encode(&Sha256::digest(&first));
    assert_eq!(read(&first).event.id.as_str(), hash);
    // Both say `sys` and the same second: they are two events nevertheless.
    assert_ne!(read(&second).event.id.as_str(), hash);
}

#[test]
fn a_json_callback_is_the_same_event() {
    let body = r#"{"tousername":"ww","fromusername":"sys","createtime":1700000000,"msgtype":"event",
        "event":"change_external_chat","changetype":"update","chatid":"wr1","updatedetail":"add_member","joinscene":"3",
        "memchangelist":{"item":["wm1","wm2"]}}"#;
    let data = json!({ "chat_id": "wr1", "change": "update", "update_detail": "add_member", "join_scene": 3,
        "mem_change_list": ["wm1", "wm2"] });
    check(body, Family::Contacts, "group:wr1", "group.joined", data);
}

#[test]
fn the_envelope_of_third_party_apps_is_understood() {
    let body = "<xml><SuiteId>ww1</SuiteId><AuthCorpId>ww2</AuthCorpId><InfoType>change_external_contact</InfoType>\
                <TimeStamp>1700000000</TimeStamp><ChangeType>del_follow_user</ChangeType><UserID>LiLi</UserID>\
                <ExternalUserID>wm1</ExternalUserID></xml>";
    check(body, Family::Contacts, "customer:wm1", "contact.lost", json!({ "userid": "LiLi" }));
}

#[rstest]
#[case::order("<xml><Encrypt><![CDATA[QUJD+/==]]></Encrypt><AgentID/><ToUserName>w</ToUserName></xml>")]
#[case::plain_text("<xml>\n  <ToUserName>w</ToUserName>\n  <Encrypt>\n  QUJD+/==\n</Encrypt>\n</xml>")]
#[case::json(r#"{"tousername":"w","encrypt":"QUJD+/==","agentid":"1"}"#)]
#[case::escaped_json(r#" {"Encrypt":"QUJD+\/=="}"#)]
fn the_encrypted_part_is_found_in_either_envelope(#[case] body: &str) {
    assert_eq!(encrypted_part(body.as_bytes()).unwrap(), "QUJD+/==");
}

#[rstest]
#[case::nothing("")]
#[case::no_part("<xml><ToUserName>w</ToUserName></xml>")]
#[case::empty_part("<xml><Encrypt><![CDATA[]]></Encrypt></xml>")]
#[case::deeper("<xml><A><Encrypt>x</Encrypt></A></xml>")]
#[case::doctype("<!DOCTYPE xml [<!ENTITY a 'b'>]><xml><Encrypt>&a;</Encrypt></xml>")]
#[case::json_without(r#"{"tousername":"w"}"#)]
fn an_envelope_without_an_encrypted_part_is_refused(#[case] body: &str) {
    assert!(encrypted_part(body.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop((parse(&app(), &bytes), encrypted_part(&bytes)));
    }

    #[test]
    fn whatever_the_fields_hold_it_is_an_event_or_unreadable(
        event in prop::sample::select(vec![
            "change_external_contact", "change_external_chat", "change_external_tag", "customer_acquisition",
            "change_contact", "kf_msg_or_event", "template_card_event", "click", "low_active", "other",
        ]),
        change in prop::sample::select(vec!["create", "update", "delete", "add_external_contact", "update_tag", "x"]),
        fields in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "UserID", "ExternalUserID", "ChatId", "UpdateDetail", "MemChangeList", "JoinScene", "Id", "Status",
                    "OpenKfId", "CreateTime", "EventKey", "SelectedItems", "Department", "LinkId", "FromUserName",
                ]),
                "\\PC{0,30}",
            ),
            0..8,
        ),
    ) {
        let inner: String = fields.iter().map(|(name, text)| format!("<{name}><![CDATA[{text}]]></{name}>")).collect();
        let body = changed(event, change, &inner);
        if let Ok(parsed) = parse(&app(), body.as_bytes()) {
            let stored = serde_json::to_string(&parsed.event).unwrap();
            prop_assert_eq!(serde_json::from_str::<Event>(&stored).unwrap(), parsed.event);
        }
    }
}
