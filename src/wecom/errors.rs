//! What each errcode means for the caller: one table.
//!
//! Meanings are WeCom's (document 90313, as of 2026-07-26, and the pages of the single calls); what to do about them is
//! ours. Only the number is ever looked at: WeCom changes its texts. A code that stands nowhere here is `Fix`,
//! with an alert.

/// What a caller does about an errcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It passes by itself: try again, at most 3 times, 0.5 s, 2 s and 8 s apart.
    Retry,
    /// Drop the access token, get a new one once, repeat the call once.
    Refresh,
    /// Too much at once: pause for the window, then go on slower. No try is burned.
    Slow,
    /// Two writes met at one record: again after 1 to 5 s. No try is burned.
    Serial,
    /// This one can never succeed; go on with the rest.
    Skip,
    /// A mistake of ours or bad data; a repeat would fail alike.
    Fix,
    /// Configuration or permission is missing: pause the family, tell the admin how to mend it.
    Admin,
    /// It had happened already; that is success.
    Done,
}

/// One line of the table: the codes from `first` to `last` mean the same.
#[derive(Debug, Clone, Copy)]
struct Row {
    first: i64,
    last: i64,
    action: Action,
    meaning: &'static str,
}

const fn row(code: i64, action: Action, meaning: &'static str) -> Row {
    Row { first: code, last: code, action, meaning }
}

const fn rows(first: i64, last: i64, action: Action, meaning: &'static str) -> Row {
    Row { first, last, action, meaning }
}

/// What to do about a code.
#[must_use]
pub fn action(errcode: i64) -> Action {
    find(errcode).map_or(Action::Fix, |row| row.action)
}

/// What a code means, shortly; none for a code that nobody here has met.
#[must_use]
pub fn meaning(errcode: i64) -> Option<&'static str> {
    find(errcode).map(|row| row.meaning)
}

fn find(errcode: i64) -> Option<&'static Row> {
    let above = TABLE.partition_point(|row| row.first <= errcode);
    above.checked_sub(1).and_then(|at| TABLE.get(at)).filter(|row| errcode <= row.last)
}

/// Whether an [`Action::Admin`] code speaks of one call only, so that the rest of its family may go on.
#[must_use]
pub fn concerns_one_call(errcode: i64) -> bool {
    matches!(errcode, 40126 | 41045 | 41054 | 41055 | 41058 | 41095 | 43012 | 81011 | 610_001)
}

/// How an admin mends what an [`Action::Admin`] code complains of, with the names the admin console uses.
#[must_use]
pub fn remedy(errcode: i64) -> &'static str {
    match errcode {
        40001 | 40013 | 40091 | 45031 | 2_000_002 => {
            "check corp_id and the app's secret in touchpoint.yaml against the admin console (应用管理 → the app → Secret)"
        }
        40056 | 301_002 => "check the app's agent_id in touchpoint.yaml against the admin console (应用管理 → the app)",
        40126 => "delete customer tags nobody needs (客户联系 → 客户标签); a corp may have 10,000",
        43009 => "have the corp verified (我的企业 → 企业信息)",
        43012 => "set the app's callback URL (应用管理 → the app → 接收消息)",
        48002 | 84074 => {
            "list the app under 客户联系 → API → 可调用接口的应用, and its staff under 客户联系 → 权限配置 → 使用范围"
        }
        48006 => "enable the app again in the admin console: its rights were withdrawn because it was unused",
        48007 => "let the app manage the kf account (微信客服 → API → 通过API管理微信客服账号)",
        50003 | 50006 | 60031 => "enable the app in the admin console (应用管理 → the app)",
        60020 => {
            "add this server's address to the app's trusted IPs (应用管理 → the app → 企业可信IP); it takes about a minute"
        }
        301_007 => "the corp is dissolved or blocked; ask WeCom",
        610_023 => "buy more customer quota for the corp (客户联系); until then customers cannot be managed",
        610_024 => "hand in the corp's qualification documents; until then customers cannot be managed",
        _ => "look the code up at https://open.work.weixin.qq.com/devtool/query",
    }
}

use Action::{Admin, Done, Fix, Refresh, Retry, Serial, Skip, Slow};

/// Sorted by code, so that it can be searched; a test holds that.
const TABLE: &[Row] = &[
    row(-1, Retry, "busy"),
    row(6000, Serial, "several writers at one record"),
    row(40001, Admin, "wrong secret, secret reset, or app disabled"),
    row(40003, Skip, "userid invalid or gone"),
    rows(40004, 40006, Fix, "media type, size or format"),
    row(40007, Fix, "media_id invalid, expired or of another purpose"),
    row(40008, Fix, "msgtype not allowed"),
    row(40009, Fix, "media size"),
    row(40011, Fix, "media size"),
    row(40013, Admin, "wrong corpid"),
    row(40014, Refresh, "access token not valid"),
    row(40029, Skip, "OAuth code not valid"),
    row(40031, Skip, "userid list not valid"),
    row(40032, Fix, "more than 1000 users"),
    row(40033, Fix, "\\uXXXX in the body"),
    row(40035, Fix, "bad parameter"),
    row(40050, Skip, "chatid unknown"),
    row(40056, Admin, "agentid not valid"),
    row(40057, Admin, "callback URL not valid"),
    row(40058, Fix, "parameter not allowed"),
    row(40063, Fix, "parameter empty"),
    row(40066, Skip, "department not valid"),
    row(40068, Skip, "tag or tag group unknown, or not this app's to use"),
    row(40070, Skip, "nothing in the tag range is valid"),
    row(40071, Fix, "tag name exists already"),
    row(40072, Fix, "tag name too long"),
    row(40073, Skip, "openid not valid"),
    row(40074, Fix, "news cannot be confidential"),
    row(40082, Fix, "suite token not valid"),
    row(40085, Fix, "suite ticket not valid"),
    row(40091, Admin, "secret of another corp"),
    row(40096, Skip, "external_userid not valid here"),
    rows(40097, 40100, Skip, "transfer not allowed"),
    row(40123, Fix, "image data broken"),
    row(40126, Admin, "the corp has as many tags as it may"),
    rows(40128, 40131, Skip, "transfer not allowed"),
    row(40143, Skip, "transfer not allowed: member banned"),
    row(40144, Skip, "the customer has as many tags as they may"),
    row(40145, Fix, "media_id expired"),
    row(40146, Fix, "Range header not valid"),
    rows(40165, 40168, Admin, "customer group ids are being upgraded"),
    row(40201, Skip, "content blocked as spam"),
    row(40204, Skip, "content blocked as spam"),
    row(40206, Fix, "request body too big"),
    rows(41001, 41002, Fix, "access token or corpid missing"),
    row(41004, Fix, "secret missing"),
    row(41006, Fix, "media_id missing"),
    row(41016, Fix, "title missing"),
    row(41024, Fix, "corpid missing"),
    row(41033, Fix, "description missing"),
    row(41035, Fix, "external_userid missing"),
    rows(41037, 41040, Fix, "contact way: bad parameter"),
    row(41041, Fix, "contact way: too many members"),
    rows(41042, 41043, Fix, "contact way: bad parameter"),
    row(41044, Skip, "contact way unknown"),
    row(41045, Admin, "the corp has as many contact ways as it may"),
    row(41046, Fix, "mass send: msgid missing"),
    row(41047, Skip, "mass send: msgid not valid"),
    row(41048, Skip, "mass send: no customer can receive it"),
    row(41049, Fix, "welcome_code missing"),
    row(41050, Skip, "welcome_code used up or older than 20 s"),
    row(41051, Done, "the customer was welcomed already"),
    row(41052, Fix, "send time not valid"),
    row(41053, Skip, "the customer has not agreed to archiving"),
    row(41054, Admin, "contact way: member not activated or real-named"),
    row(41055, Admin, "as many group welcomes as allowed"),
    row(41058, Admin, "group welcome of another app"),
    rows(41059, 41062, Skip, "moment not possible"),
    row(41063, Retry, "mass send still being distributed"),
    rows(41064, 41065, Fix, "attachments: number or type"),
    row(41067, Skip, "moment not possible"),
    row(41072, Fix, "attachment of another purpose"),
    rows(41078, 41079, Slow, "moment: too many jobs, or still distributing"),
    rows(41080, 41082, Fix, "attachment too big"),
    rows(41088, 41090, Fix, "attachment empty, too long or of a wrong format"),
    row(41091, Fix, "join way: more than 5 groups"),
    row(41093, Skip, "mass send cancelled"),
    row(41094, Slow, "mass send: reminded too often"),
    row(41095, Admin, "too many acquisition links"),
    row(41096, Retry, "another app is sending the welcome right now"),
    row(41201, Skip, "chatkey not valid"),
    rows(41210, 41211, Skip, "moment: too many in the month"),
    rows(41300, 41304, Fix, "mass send template"),
    row(42001, Refresh, "access token expired"),
    row(42003, Skip, "OAuth code expired"),
    row(42009, Fix, "suite token expired"),
    rows(42014, 42020, Fix, "card: task_id used before or not valid, or a bad field"),
    row(42022, Skip, "OAuth code used"),
    rows(42027, 42051, Fix, "card: a field missing or not valid"),
    row(42052, Skip, "too old to recall"),
    row(43009, Admin, "corp not verified"),
    row(43012, Admin, "the app needs a callback URL for such a card"),
    row(44001, Fix, "media empty"),
    row(44004, Fix, "content missing"),
    row(45001, Fix, "media too big"),
    row(45002, Fix, "message too long"),
    rows(45007, 45008, Fix, "voice too long, or more than 8 articles"),
    row(45009, Slow, "called too often"),
    row(45029, Fix, "reply too large"),
    row(45031, Admin, "secret considered unsafe"),
    row(45033, Slow, "too many calls at once"),
    row(45035, Serial, "several writers at one record"),
    row(45036, Slow, "access restricted after unusual traffic"),
    row(46004, Skip, "user not found"),
    row(48001, Admin, "feature not authorised"),
    row(48002, Admin, "the app may not call this"),
    rows(48003, 48004, Admin, "suite or authorisation not valid"),
    row(48005, Fix, "API retired"),
    row(48006, Admin, "rights withdrawn, app unused too long"),
    row(48007, Admin, "kf account not granted to the app"),
    row(48009, Admin, "contact-sync assistant: not from new addresses"),
    row(48010, Fix, "TLS version too old"),
    row(48011, Admin, "activity too low, customer data withheld"),
    row(49008, Skip, "group chat dissolved"),
    row(50001, Admin, "redirect domain not trusted"),
    row(50002, Skip, "outside the app's visible range"),
    row(50003, Admin, "app disabled"),
    row(50006, Admin, "system app disabled"),
    row(50100, Retry, "cursor not valid"),
    row(60003, Skip, "department not valid"),
    row(60011, Skip, "outside the app's visible range"),
    row(60020, Admin, "this server's address is not trusted"),
    row(60021, Skip, "outside the app's visible range"),
    row(60030, Skip, "outside the app's visible range"),
    row(60031, Admin, "app barred from the API"),
    row(60111, Skip, "userid unknown"),
    row(60123, Skip, "department not valid"),
    row(60140, Skip, "card: response_code used or expired"),
    row(60268, Retry, "cursor not valid"),
    row(81011, Admin, "no right on that tag"),
    row(81012, Fix, "no receiver given"),
    row(81013, Skip, "no receiver is reachable"),
    row(81017, Fix, "too many objects: name the owners"),
    row(82001, Fix, "no receiver given"),
    rows(82002, 82003, Fix, "more than 100 departments or tags"),
    row(82004, Fix, "content could crash clients"),
    rows(82101, 82102, Skip, "card: not a receiver"),
    rows(84014, 84015, Skip, "user_ticket expired or not valid"),
    row(84025, Fix, "state not valid"),
    row(84061, Skip, "no relation between member and customer"),
    row(84071, Skip, "authorisation code used or not valid"),
    row(84074, Admin, "no right to customers"),
    rows(84083, 84084, Skip, "not a service member, or not the follower"),
    rows(85010, 85011, Admin, "callback URL could not be verified"),
    rows(86001, 86008, Skip, "group chat parameters"),
    row(86101, Skip, "group chat parameters"),
    rows(86201, 86220, Skip, "group chat parameters"),
    rows(90200, 90207, Fix, "mini program notice fields"),
    row(90208, Admin, "mini program not linked"),
    row(90313, Slow, "too often for this product"),
    rows(90500, 90511, Skip, "customer group state"),
    rows(92000, 92003, Admin, "outside the range, or no right to the data"),
    rows(93000, 93050, Fix, "robot address or body"),
    row(301_002, Fix, "the token belongs to another app"),
    row(301_007, Admin, "corp dissolved or blocked"),
    rows(301_016, 301_017, Fix, "media type or size"),
    row(610_001, Admin, "more than 5000 permanent codes"),
    row(610_003, Fix, "scene not valid"),
    row(610_004, Skip, "not a customer of the corp"),
    rows(610_014, 610_018, Admin, "unionid, openid or verification do not match"),
    row(610_023, Admin, "the corp's customer quota is full"),
    row(610_024, Admin, "the corp's qualification documents are missing"),
    rows(701_001, 701_007, Admin, "licence account or activation code"),
    row(701_008, Skip, "member without an interconnect licence"),
    row(701_016, Skip, "licence not activated or expired"),
    row(701_022, Retry, "licence still being made"),
    row(701_033, Retry, "licence order in conflict"),
    row(701_063, Skip, "licences are switched off"),
    row(701_099, Skip, "member without an API licence"),
    rows(701_100, 701_104, Fix, "licence query"),
    row(701_105, Retry, "cursor not valid"),
    rows(701_106, 701_109, Fix, "licence query"),
    row(701_134, Slow, "too often"),
    row(701_142, Retry, "licence order in conflict"),
    row(701_250, Fix, "licence query"),
    row(701_252, Retry, "cursor not valid"),
    rows(830_001, 830_003, Fix, "media by URL"),
    row(2_000_002, Admin, "corpid does not exist"),
    row(2_010_003, Slow, "too often for this product"),
    row(2_400_007, Slow, "too often for this product"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of WeCom document 90313 as our notes of it sort them, section by section.
    #[test]
    fn every_code_of_the_documents_has_its_action() {
        let expected: &[(Action, &[(i64, i64)])] = &[
            (Retry, &[(-1, -1), (41063, 41063), (41096, 41096), (701_022, 701_022), (701_033, 701_033)]),
            (Retry, &[(701_142, 701_142), (50100, 50100), (60268, 60268), (701_105, 701_105), (701_252, 701_252)]),
            (Refresh, &[(40014, 40014), (42001, 42001)]),
            (Slow, &[(45009, 45009), (45033, 45033), (45036, 45036), (41078, 41079), (41094, 41094), (90313, 90313)]),
            (Slow, &[(701_134, 701_134), (2_400_007, 2_400_007), (2_010_003, 2_010_003)]),
            (Serial, &[(6000, 6000), (45035, 45035)]),
            (Done, &[(41051, 41051)]),
            // System and credential.
            (Admin, &[(40001, 40001), (40013, 40013), (40091, 40091), (43009, 43009), (45031, 45031), (48001, 48004)]),
            (Admin, &[(48006, 48007), (48009, 48009), (48011, 48011), (50003, 50003), (50006, 50006), (60031, 60031)]),
            (Admin, &[(60020, 60020), (301_007, 301_007), (2_000_002, 2_000_002)]),
            (Fix, &[(41001, 41002), (41004, 41004), (41024, 41024), (42009, 42009), (40082, 40082), (40085, 40085)]),
            (Fix, &[(48005, 48005), (48010, 48010), (301_002, 301_002)]),
            // Size.
            (Fix, &[(45029, 45029), (45001, 45002), (45007, 45008), (40032, 40032), (82002, 82003), (40206, 40206)]),
            // Ids, parameters, visibility.
            (Skip, &[(40003, 40003), (40031, 40031), (60111, 60111), (46004, 46004), (40050, 40050), (40066, 40066)]),
            (Skip, &[(60003, 60003), (60123, 60123), (40068, 40068), (40070, 40070), (40096, 40096), (81013, 81013)]),
            (Skip, &[(50002, 50002), (60011, 60011), (60021, 60021), (60030, 60030)]),
            (Skip, &[(40029, 40029), (42003, 42003), (42022, 42022), (84014, 84015)]),
            (Fix, &[(40033, 40033), (40035, 40035), (40058, 40058), (40063, 40063), (40071, 40072), (41035, 41035)]),
            (Fix, &[(81012, 81012), (82001, 82001), (84025, 84025), (81017, 81017)]),
            (Admin, &[(40056, 40057), (85010, 85011), (50001, 50001), (81011, 81011), (92000, 92003), (40165, 40168)]),
            // Messages, cards, media.
            (
                Fix,
                &[(40004, 40009), (40011, 40011), (44001, 44001), (301_016, 301_017), (40074, 40074), (40123, 40123)],
            ),
            (Fix, &[(40145, 40146), (41006, 41006), (41016, 41016), (41033, 41033), (44004, 44004), (42014, 42020)]),
            (Fix, &[(42027, 42051), (82004, 82004), (90200, 90207), (93000, 93050), (830_001, 830_003)]),
            (Skip, &[(40073, 40073), (40201, 40201), (40204, 40204), (42052, 42052), (60140, 60140), (82101, 82102)]),
            (Skip, &[(86001, 86008), (86101, 86101), (86201, 86220), (49008, 49008)]),
            (Admin, &[(43012, 43012), (90208, 90208)]),
            // Customers.
            (Skip, &[(40097, 40100), (40128, 40131), (40143, 40144), (41044, 41044), (41047, 41048), (41050, 41050)]),
            (Skip, &[(41053, 41053), (41059, 41062), (41067, 41067), (41210, 41211), (41093, 41093), (41201, 41201)]),
            (Skip, &[(84061, 84061), (84071, 84071), (84083, 84084), (90500, 90511), (610_004, 610_004)]),
            (Admin, &[(40126, 40126), (41045, 41045), (41054, 41055), (41058, 41058), (41095, 41095), (84074, 84074)]),
            (Admin, &[(610_001, 610_001), (610_014, 610_018), (610_023, 610_024)]),
            (Fix, &[(41037, 41043), (41046, 41046), (41049, 41049), (41052, 41052), (41064, 41065), (41072, 41072)]),
            (Fix, &[(41080, 41082), (41088, 41091), (41300, 41304), (610_003, 610_003)]),
            // Licences.
            (Admin, &[(701_001, 701_007)]),
            (Skip, &[(701_008, 701_008), (701_016, 701_016), (701_063, 701_063), (701_099, 701_099)]),
            (Fix, &[(701_100, 701_104), (701_106, 701_109), (701_250, 701_250)]),
        ];
        let mut listed = 0;
        for (wanted, ranges) in expected {
            for code in ranges.iter().flat_map(|(first, last)| *first..=*last) {
                assert_eq!(action(code), *wanted, "{code}");
                assert!(meaning(code).is_some(), "{code}");
                listed += 1;
            }
        }
        let known: i64 = TABLE.iter().map(|row| row.last - row.first + 1).sum();
        assert_eq!(listed, known, "the table and this list name the same codes");
    }

    #[test]
    fn the_table_is_sorted_and_no_code_stands_twice() {
        assert!(TABLE.iter().all(|row| row.first <= row.last));
        assert!(TABLE.is_sorted_by(|left, right| left.last < right.first));
    }

    #[test]
    fn a_code_nobody_knows_is_ours_to_fix() {
        for code in [0, 1, 39_999, 42_021, 99_999_999, i64::MIN, i64::MAX] {
            assert_eq!((action(code), meaning(code)), (Fix, None), "{code}");
        }
    }

    #[test]
    fn an_admin_reads_what_to_do_in_the_words_of_the_console() {
        assert!(remedy(60020).contains("企业可信IP"));
        assert!(remedy(48002).contains("可调用接口的应用"));
        assert!(remedy(2_000_002).contains("corp_id"));
    }
}
