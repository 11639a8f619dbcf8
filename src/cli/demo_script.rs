//! `touchpoint demo --script`: the month is played on an adjustable clock, told as a table, and checked.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::domain::At;
use crate::runtime::travel;
use crate::sandbox::{Act, Adding};

use super::demo_checks::Checks;
use super::demo_month::{self, Deed, Person, Scene};
use super::demo_stage::{SHOP_TOKEN, Stage};
use super::demo_story::Counters;
use super::{demo_checks, demo_story};

/// One customer's second half of an adding comes that long after the first.
const HALF_A_MINUTE: std::time::Duration = std::time::Duration::from_secs(30);

/// Plays the month on a stage that stands at its beginning.
///
/// Exit code 0 when every check holds, 1 when one does not, 3 when the month could not be played to its end.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to whoever called it")]
pub(super) async fn play(stage: &Stage) -> ExitCode {
    let began = Instant::now();
    for staff in demo_month::staff() {
        stage.world.hire(staff);
    }
    if let Err(error) = act_everything(stage).await {
        eprintln!("error: the month could not be played: {error:#}");
        return ExitCode::from(3);
    }
    let took = began.elapsed();
    let (story, checks) = match told(stage).await {
        Ok(told) => told,
        Err(error) => {
            eprintln!("error: what happened cannot be read: {error:#}");
            return ExitCode::from(3);
        }
    };
    print!("{story}\n{checks}");
    println!("\n{:.1} s", took.as_secs_f64());
    if checks.hold() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

async fn told(stage: &Stage) -> anyhow::Result<(String, Checks)> {
    let counters = Counters::read(stage).await?;
    let story = demo_story::tell(&counters, &stage.app.services().rules.current())?;
    Ok((story, demo_checks::run(stage, &counters).await?))
}

async fn act_everything(stage: &Stage) -> anyhow::Result<()> {
    let shop = reqwest::Client::builder().no_proxy().build().context("making an HTTP client")?;
    for scene in demo_month::scenes()? {
        pass_until(stage, scene.at).await?;
        act(stage, &shop, &scene).await.with_context(|| format!("{} {:?}", scene.person.id(), scene.deed))?;
    }
    pass_until(stage, demo_month::closes()?).await?;
    let misfires = stage.world.misfires();
    ensure!(misfires.is_empty(), "people could not do what they meant to: {misfires:?}");
    Ok(())
}

/// Lets business time pass: the server does what is due, people answer it, each at its own moment.
async fn pass_until(stage: &Stage, target: At) -> anyhow::Result<()> {
    let services = stage.app.services();
    // What the server does now decides when people will act next.
    travel::travel_to(services, stage.clock.now()).await?;
    loop {
        if stage.world.run_due().await > 0 {
            travel::travel_to(services, stage.clock.now()).await?;
            continue;
        }
        let now = stage.clock.now();
        if now >= target {
            return Ok(());
        }
        let limit = stage.world.next_act().map_or(target, |act| act.min(target));
        travel::step(services, limit).await?;
        progress(now, stage.clock.now());
    }
}

/// The day, on a terminal.
#[expect(clippy::print_stderr, reason = "a command talks to whoever called it")]
fn progress(from: At, to: At) {
    let day = |at: At| at.with_timezone(&chrono_tz::Asia::Shanghai).date_naive();
    if day(from) != day(to) && std::io::stderr().is_terminal() {
        eprint!("\r{}\r", day(to));
    }
}

async fn act(stage: &Stage, shop: &reqwest::Client, scene: &Scene) -> anyhow::Result<()> {
    let Scene { person, deed, nth, at } = scene;
    let (customer, staff) = (person.id(), person.staff.to_owned());
    let order = |nth: usize| format!("O{:03}-{nth}", person.number);
    let time = at.to_rfc3339();
    let (kind, time, data) = match *deed {
        Deed::Adds { staff, state, half } => return adds(stage, person, staff, state, half).await,
        Deed::AddsToo(staff, state) => return adds(stage, person, staff, state, false).await,
        Deed::AddsAgain(state) => return adds(stage, person, person.staff, state, false).await,
        Deed::Deletes => {
            let act = Act::CustomerDeletes { customer, userid: staff };
            return stage.world.perform(&act).await.map_err(Into::into);
        }
        Deed::IsDeleted => {
            let act = Act::StaffDeletes { userid: staff, customer };
            return stage.world.perform(&act).await.map_err(Into::into);
        }
        Deed::Buys(amount) => {
            ("order.paid", time, json!({ "order_id": order(*nth), "amount": amount, "product": "coat" }))
        }
        Deed::SendsOldOrder(amount) => {
            let data = json!({ "order_id": order(*nth), "amount": amount, "product": "coat" });
            ("order.paid", demo_month::long_ago().to_owned(), data)
        }
        Deed::Refunds => ("order.refunded", time, json!({ "order_id": order(1) })),
        Deed::Visits => ("visit.made", time, json!({ "store": "01" })),
        Deed::Books => ("fitting.booked", time, json!({ "store": "01" })),
        Deed::OptsOut => ("customer.opted_out", time, json!({ "reason": "客户要求" })),
    };
    let event = json!({ "specversion": "1.0", "id": format!("{customer}-{nth}"), "source": "shop", "type": kind,
        "subject": customer, "time": time, "data": data });
    send(stage, shop, &event).await
}

async fn adds(stage: &Stage, person: &Person, staff: &str, state: &str, half: bool) -> anyhow::Result<()> {
    let adding = Adding {
        customer: person.id(),
        userid: staff.to_owned(),
        name: Some(person.name()),
        state: Some(state.to_owned()).filter(|state| !state.is_empty()),
        half_first: half.then_some(HALF_A_MINUTE),
        ..Adding::default()
    };
    stage.world.customer_adds(adding).await.map_err(Into::into)
}

/// Sends a business event over HTTP, as the company's shop would.
async fn send(stage: &Stage, shop: &reqwest::Client, event: &Value) -> anyhow::Result<()> {
    let request = shop.post(stage.url("/v1/events")).bearer_auth(SHOP_TOKEN);
    let request = request.header("content-type", "application/cloudevents+json").body(event.to_string());
    let response = request.send().await.context("sending an event")?;
    let code = response.status();
    let answer: Value = response.json().await.context("reading the answer to an event")?;
    let status = answer.pointer("/results/0/status").and_then(Value::as_str);
    ensure!(code == 202 && status == Some("accepted"), "the event was answered {code} {answer}");
    Ok(())
}
