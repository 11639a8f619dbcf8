//! The interactive demo: the people one meets, and five things to try with commands to copy.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::runtime::travel;
use crate::sandbox::{Adding, Confirm, Staff};

use super::demo_stage::{SHOP_TOKEN, Stage};

/// The customer of the five things; no journey of the sample company leaves her alone.
pub(super) const GUEST: (&str, &str) = ("wmTangNa", "唐娜");

/// Who is there already: id, name, staff member, state of the code.
const REGULARS: [(&str, &str, &str, &str); 5] = [
    ("wmLinXiao", "林晓", "lili", "store-01"),
    ("wmZhouMin", "周敏", "lili", "web-01"),
    ("wmChenJing", "陈静", "wangwei", "store-02"),
    ("wmWuYue", "吴悦", "wangwei", ""),
    ("wmHeQing", "何晴", "zhaomin", "web-01"),
];

/// Hires the staff and lets some customers in, one of whom buys, so that the page is not empty.
pub(super) async fn invite(stage: &Stage) -> anyhow::Result<()> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let staff = [
        Staff::new("lili", "李丽").confirming(Confirm::After(minutes(10))).tapping("", "done", minutes(20)),
        Staff::new("wangwei", "王伟").confirming(Confirm::AfterReminder(minutes(60))).tapping(
            "【已到期】",
            "done",
            minutes(60),
        ),
        Staff::new("zhaomin", "赵敏"),
        Staff::new("zhangsan", "张珊"),
    ];
    for staff in staff {
        stage.world.hire(staff);
    }
    // The company's tags are made first, so that those of the first customers need not wait for them.
    travel::travel_to(stage.app.services(), stage.clock.now()).await?;
    for (id, name, userid, state) in REGULARS {
        let adding = Adding {
            customer: id.to_owned(),
            userid: userid.to_owned(),
            name: Some(name.to_owned()),
            state: Some(state.to_owned()).filter(|state| !state.is_empty()),
            ..Adding::default()
        };
        stage.world.customer_adds(adding).await.with_context(|| format!("letting {id} in"))?;
    }
    let event = json!({ "specversion": "1.0", "id": "first", "source": "shop", "type": "order.paid",
        "subject": "wmZhouMin", "data": { "order_id": "O1", "amount": "299.00" } });
    let shop = reqwest::Client::builder().no_proxy().build().context("making an HTTP client")?;
    let request = shop.post(stage.url("/v1/events")).bearer_auth(SHOP_TOKEN);
    let request = request.header("content-type", "application/cloudevents+json").body(event.to_string());
    request.send().await.and_then(reqwest::Response::error_for_status).context("sending an order")?;
    travel::travel_to(stage.app.services(), stage.clock.now()).await?;
    Ok(())
}

/// What stands on the terminal.
pub(super) fn guide(stage: &Stage) -> String {
    let mut text = addresses(stage);
    for (number, (title, commands)) in (1..).zip(five_things(stage)) {
        writeln!(text, "\n{number}. {title}").expect("writing into a String cannot fail");
        for command in commands {
            writeln!(text, "   {command}").expect("writing into a String cannot fail");
        }
    }
    text.push_str("\nCtrl-C 结束,数据随之删除 · Ctrl-C stops everything and removes its data.\n");
    text
}

fn addresses(stage: &Stage) -> String {
    let (page, server, folder) = (stage.sandbox_url("/"), stage.url(""), stage.folder.path.display());
    let now = stage.clock.now().with_timezone(&stage.settings.server.timezone).format("%Y-%m-%d %H:%M");
    let pid = std::process::id();
    format!(
        "触点演示 · Touchpoint demo\n\n\
         \x20 先看这里 open this first   {page}   (the sandbox: what customers and staff receive)\n\
         \x20 接口 API                   {server}   (Authorization: Bearer {SHOP_TOKEN})\n\
         \x20 状态 readiness             {server}/readyz\n\
         \x20 指标 metrics               {server}/metrics\n\
         \x20 规则 rules to edit         {folder}/playbook   (then: kill -HUP {pid})\n\
         \x20 业务时间 business time     {now}, Asia/Shanghai; it can be moved forwards\n\n\
         五件可以试的事 · Five things to try\n"
    )
}

/// Five things, each with commands that work as they stand.
fn five_things(stage: &Stage) -> [(String, Vec<String>); 5] {
    let (sandbox, server) = (stage.sandbox_url(""), stage.url(""));
    let folder = stage.folder.path.display();
    let (pid, program) = (std::process::id(), program());
    let (id, name) = GUEST;
    let json = "-H 'content-type: application/json'";
    let bearer = format!("-H 'authorization: Bearer {SHOP_TOKEN}'");
    let adding = json!({ "userid": "lili", "name": name, "state": "store-01" });
    let order = json!({ "specversion": "1.0", "id": "1001", "source": "shop", "type": "order.paid", "subject": id,
        "data": { "order_id": "1001", "amount": "2399.00", "product": "coat" } });
    let rule = format!("{folder}/playbook/segments.yaml");
    [
        (
            "客户扫门店码:页面上出现欢迎语和标签 · A customer scans the code at the door: welcome and tags on the page"
                .to_owned(),
            vec![format!("curl -s {sandbox}/control/customers/{id}/add {json} -d '{adding}'")],
        ),
        (
            "客户下单:打标签,两小时后致谢 · She pays an order: tags now, thanks in two hours".to_owned(),
            vec![format!(
                "curl -s {server}/v1/events {bearer} -H 'content-type: application/cloudevents+json' -d '{order}'"
            )],
        ),
        (
            "时间快进八天:群发、卡片、催办依次发生 · Move the clock eight days: mass sends, cards, reminders"
                .to_owned(),
            vec![format!("curl -s {sandbox}/control/clock {json} -d '{{\"advance\":\"8d\"}}'")],
        ),
        (
            "问为什么发、为什么没发 · Ask why something was sent or not".to_owned(),
            vec![
                format!("curl -s {server}/v1/customers/{id}/why {bearer} -H 'accept: text/plain'"),
                format!("{program} --config {folder} why {id} --lang en"),
            ],
        ),
        (
            "改坏一条规则:旧规则继续生效,并说明原因 · Break a rule: the old ones stay, and it says why".to_owned(),
            vec![
                format!("sed -i 's/customer.spend >= 5000/custmer.spend >= 5000/' {rule}"),
                format!("{program} check {folder}"),
                format!("kill -HUP {pid}; sleep 1; curl -s {server}/readyz"),
                format!("sed -i 's/custmer.spend >= 5000/customer.spend >= 3000/' {rule}; kill -HUP {pid}"),
            ],
        ),
    ]
}

/// How this program is called.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "touchpoint".to_owned(), |path| path.display().to_string())
}
