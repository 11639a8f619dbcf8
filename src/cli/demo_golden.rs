//! The golden table: what the playbook promises the month's people, worked out by hand from `demo_month`.
//!
//! The numbers were counted from the groups and the YAML, not copied from a run. A run that disagrees is wrong, or the
//! count is; who changes the sample company or the month counts again.
//!
//! Who is left alone on purpose (the hash of journey and customer says so) gets nothing of that journey:
//!
//! | journey | of those who enter it |
//! |---|---|
//! | onboarding | A 002, B 026, C 031, F1 061 064, F2 074 077, H 115 116, R1 137 138, R2 142, VIP 150, VC 154, M1 170, N1 180 |
//! | win_back | K1 155 |
//! | member_day | VIP 144 149 |
//! | bring_friend | nobody of L |
//!
//! So of onboarding remain A 15, B 13, C 11, D 10, E 8, F1 7, F2 7, F3 4, G 8, H 28, V1 6, V2 4, VB 6, R1 1, R2 2, VIP 7,
//! VC 3, K 8, L 6, M1 2, M2 2, M3 2, M4 2, N1 4, N2 2, N3 2, O 6, P 4, T 4.

/// Everything that reached anybody, by the names of `demo_book`. What is not here must not happen at all.
pub(super) const GOLDEN: &[(&str, u64)] = &[
    // Welcomes. Store codes: A 16, B 14, E 8, F1 9, F2 9, G 8, H 30, V1 6, VB 6, R1 3, VIP 8, VC 4, K 8, L 6, M 9, N1 5,
    // N2 2, P 4 = 155, M4 once more 2, T with the second staff member 4.
    ("welcome welcome_store", 161),
    // Web codes: C 12, D 10, F3 4, V2 4, R2 3, N3 2, T 4.
    ("welcome welcome_online", 39),
    // No code: O 6.
    ("welcome welcome", 6),
    //
    // Tags of touchpoints. As the welcomes; M4 come back to a staff member who kept them, tag included.
    ("tag + 触点/门店扫码", 159),
    ("tag + 触点/线上扫码", 39),
    // F 22, VB 6, R 6, VIP 8, VC 4, K 8, L 6, N2 2.
    ("tag + 触点/首单", 62),
    // L 6.
    ("tag + 触点/复购", 6),
    // VIP 8, VC 4, K 8.
    ("tag + 触点/大单", 20),
    // V1 6, V2 4, VB 6, K1 3.
    ("tag + 触点/到店", 19),
    // G 8.
    ("tag + 触点/预约试衣", 8),
    // VIP 8, VC 4: a week after the first order the journey finds them VIPs.
    ("tag + 触点/升级贵宾", 12),
    //
    // Tags of segments. 新客: 200 addings, T's second pair 4, R after the refund 6.
    ("tag + 分层/新客", 210),
    // The first order takes it off 62 (as 首单); 15 days and the next sweep at three take it off A 16, B 14, C 12, D 10,
    // G 8, H 30, V1 6, V2 4, R 6, M4 2, N1 5, O 5 (the last is added on the 18th), P 2 (of the 16th and 17th), T 8 on two
    // pairs each = 128.
    ("tag - 分层/新客", 190),
    // Orders of 30 days: F 22, VB 6, R 6, VIP 8, VC 4, L 6, N2 2 = 54; visits of others: V1 6, V2 4, K1 3. None is left
    // before 4 October.
    ("tag + 分层/活跃", 67),
    // K 8.
    ("tag + 分层/沉睡高价值", 8),
    // VIP 8, VC 4.
    ("tag + 分层/贵宾", 12),
    //
    // Tags of care. A done card: A 15, B 13, D 10, F1 9, F2 9, G 8, H 28, V1 6, VB 6, R1 3, R2 3 (the manager's), VIP 8,
    // VC 4, K1 3, K2 5 + 5 (taken off between), P 4, T 4.
    ("tag + 服务/已回访", 143),
    // K2 5, at the end of win_back.
    ("tag - 服务/已回访", 5),
    ("tag + 服务/重点维护", 5),
    // Nobody called in the three days after the card: F3 4, R2 3.
    ("tag + 服务/首单未回访", 7),
    //
    // Mass sends. size_guide a day after the adding: A 15, D 10, E 8, F1 7, G 8, H 28, V1 6, R1 1, VIP 7, VC 3, K 8, L 6,
    // M1 2, M4 2, N1 4, N2 2, T 4; N3 opt out while it is held, M3 have left.
    ("asked size_guide lili", 121),
    ("reached size_guide lili", 121),
    // B 13, F2 7, VB 6, M2 2, P 4. He confirms an hour after the reminder.
    ("asked size_guide wangwei", 32),
    ("reached size_guide wangwei", 32),
    // C 11, F3 4, V2 4, R2 2, O 6. She never confirms.
    ("asked size_guide zhaomin", 27),
    // new_arrivals four days later for who neither came, booked, bought nor left: A 15, D 10, H 28, K2 5.
    ("asked new_arrivals lili", 58),
    ("reached new_arrivals lili", 58),
    // B 13, P 4, T 4 (he added them last).
    ("asked new_arrivals wangwei", 21),
    ("reached new_arrivals wangwei", 21),
    // C 11, O 6.
    ("asked new_arrivals zhaomin", 17),
    // thanks two hours after the first order: F1 9, R1 3, VIP 8, VC 4, K 8, L 6; N2 have opted out.
    ("asked thanks lili", 38),
    ("reached thanks lili", 38),
    // F2 9, VB 6.
    ("asked thanks wangwei", 15),
    ("reached thanks wangwei", 15),
    // F3 4, R2 3.
    ("asked thanks zhaomin", 7),
    // K 7.
    ("asked miss_you lili", 7),
    ("reached miss_you lili", 7),
    // VIP 6. VC had 谢谢您的第一单 that day, and nobody is spoken to twice.
    ("asked member_day lili", 6),
    ("reached member_day lili", 6),
    // Each of his 32 + 21 + 15 tasks has one customer and is reminded of once.
    ("reminded wangwei", 68),
    // Each of her 27 + 17 + 7, twice.
    ("reminded zhaomin", 102),
    //
    // Cards. 一周未下单 three days after new_arrivals, or after the booking's card: A 15, D 10, G 8, H 28.
    ("card lili 新客一周未下单，请聊聊需求", 61),
    // B 13, P 4, T 4; he waits for the reminder.
    ("card wangwei 新客一周未下单，请聊聊需求", 21),
    ("card wangwei 【已到期】新客一周未下单，请聊聊需求", 21),
    // C 11, O 6; reminded, then reported.
    ("card zhaomin 新客一周未下单，请聊聊需求", 17),
    ("card zhaomin 【已到期】新客一周未下单，请聊聊需求", 17),
    // G 8.
    ("card lili 新客约了试衣，请备好衣服", 8),
    // 首单满一周: F1 9, R1 3, VIP 8, VC 4, K 8; L have bought again by then.
    ("card lili 首单满一周，请回访", 32),
    // F2 9, VB 6; put off by four hours.
    ("card wangwei 首单满一周，请回访", 15),
    ("card wangwei 【稍后提醒】首单满一周，请回访", 15),
    // F3 4, R2 3.
    ("card zhaomin 首单满一周，请回访", 7),
    ("card zhaomin 【已到期】首单满一周，请回访", 7),
    // V1 6, K1 3; VB bought within the hour.
    ("card lili 到店未成交，请跟进", 9),
    // V2 4.
    ("card zhaomin 到店未成交，请跟进", 4),
    ("card zhaomin 【已到期】到店未成交，请跟进", 4),
    // K2 5.
    ("card lili 高价值客户仍未回店，请联系", 5),
    // R1 3, R2 3. R1 are called within the half hour, R2 by nobody: the manager is asked.
    ("card lili 客户退款，请问清原因", 3),
    ("card zhaomin 客户退款，请问清原因", 3),
    ("card zhaomin 【已到期】客户退款，请问清原因", 3),
    ("card zhangsan 退款客户没人跟进", 3),
    // L 6.
    ("card lili 老客三单以上，可邀请带朋友来", 6),
    //
    // Taps: 61 + 8 + 32 + 9 + 5 + 3, and L's 6; each closes its card.
    ("tap lili done", 118),
    ("tap lili dismiss", 6),
    ("card closed lili", 124),
    // 15 put off, then done; 21 after the reminder.
    ("tap wangwei snooze", 15),
    ("tap wangwei done", 36),
    ("card closed wangwei", 51),
    ("tap zhangsan done", 3),
    ("card closed zhangsan", 3),
    //
    // What zhaomin leaves for two days is reported to the manager: 17 + 7 + 4 + 3.
    ("report zhangsan", 31),
    // Mornings with something open. zhaomin from the 4th (032's size_guide of the 3rd) on: 2 + 6 + 6 + 6 + 3 days in
    // September, 2 in October, none on the holiday or a Sunday.
    ("digest zhaomin", 25),
    // wangwei: tasks made from the 3rd to the 24th are confirmed a day later: the 4th to the 25th, 2 + 6 + 6 + 5; P's
    // cards on the 26th, 28th and 29th.
    ("digest wangwei", 22),
];

/// Tags of a few pairs when the month closes: customer, staff member, tags.
pub(super) const PAIRS: &[(u32, &str, &[&str])] = &[
    (1, "lili", &["触点/门店扫码", "服务/已回访"]),
    (2, "lili", &["触点/门店扫码"]),
    (32, "zhaomin", &["触点/线上扫码"]),
    (61, "lili", &["触点/门店扫码", "触点/首单", "分层/活跃", "服务/已回访"]),
    (79, "zhaomin", &["触点/线上扫码", "触点/首单", "分层/活跃", "服务/首单未回访"]),
    (83, "lili", &["触点/门店扫码", "触点/预约试衣", "服务/已回访"]),
    (131, "wangwei", &["触点/门店扫码", "触点/到店", "触点/首单", "分层/活跃", "服务/已回访"]),
    (140, "zhaomin", &["触点/线上扫码", "触点/首单", "分层/活跃", "服务/已回访", "服务/首单未回访"]),
    (
        143,
        "lili",
        &["触点/门店扫码", "触点/首单", "触点/大单", "触点/升级贵宾", "分层/活跃", "分层/贵宾", "服务/已回访"],
    ),
    (158, "lili", &["触点/门店扫码", "触点/首单", "触点/大单", "分层/沉睡高价值", "服务/重点维护", "服务/已回访"]),
    (163, "lili", &["触点/门店扫码", "触点/首单", "触点/复购", "分层/活跃"]),
    (197, "lili", &["触点/线上扫码"]),
    (197, "wangwei", &["触点/门店扫码", "服务/已回访"]),
];

/// Cards that a staff member got on a day of September: 38 are due to lili on Monday the 14th, and 20 a day is the limit.
pub(super) const CARDS_OF_A_DAY: (&str, u32, usize) = ("lili", 14, 20);
