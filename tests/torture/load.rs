//! What goes in: customers who add staff, orders, visits, and days that pass.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use touchpoint::domain::At;
use touchpoint::sandbox::Adding;

use super::company::{Company, Habit, STAFF, shanghai};
use super::door::Sent;
use super::options::Options;

/// A customer, and what the load told of him or her.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub id: String,
    pub name: String,
    pub staff: &'static str,
    pub habit: Habit,
    /// The day on which everything began.
    pub day: usize,
    /// Amounts in whole yuan.
    pub orders: Vec<u32>,
    pub visits: usize,
}

/// All that went in.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub customers: Vec<Customer>,
    /// Mornings at nine that have passed after each day.
    pub days: Vec<chrono::NaiveDate>,
    pub callbacks: Sent,
    pub events: Sent,
}

/// One thing the shop tells.
struct Told {
    after: Duration,
    id: String,
    customer: String,
    kind: &'static str,
    data: serde_json::Value,
}

/// Works day after day until `is_enough`, one day at least.
pub(crate) async fn work_until(company: &Company, options: &Options, is_enough: impl Fn() -> bool) -> Given {
    let mut rng = StdRng::seed_from_u64(options.seed ^ 0x10ad);
    let mut given = Given::default();
    loop {
        work_a_day(company, &mut given, &mut rng).await;
        if is_enough() {
            break;
        }
    }
    (given.callbacks, given.events) =
        (*company.door().callbacks.lock().unwrap(), *company.door().events.lock().unwrap());
    given
}

/// Lets three more days pass, so that everything that was begun comes to its end.
pub(crate) async fn let_everything_end(company: &Company) {
    let start = company.clock.now();
    for hours in [1, 4, 8, 22, 24, 26, 30, 46, 48, 52, 70, 72] {
        company.advance_to(start + TimeDelta::hours(hours)).await;
    }
}

/// New customers in the morning, regulars all day long.
async fn work_a_day(company: &Company, given: &mut Given, rng: &mut StdRng) {
    let day = given.days.len();
    let start = company.clock.now();
    given.days.push(start.with_timezone(&shanghai()).date_naive());
    let arrivals: Vec<Customer> = (0..rng.random_range(10..16)).map(|number| newcomer(day, number, rng)).collect();
    let first_words: Vec<(Duration, Vec<Told>)> =
        arrivals.iter().map(|one| (soon(rng, 5000), words_of(one, rng))).collect();
    join_all(arrivals.iter().zip(&first_words).map(|(one, (after, words))| arrives(company, one, *after, words))).await;
    given.customers.extend(arrivals);
    let regulars: Vec<Told> = (0..24).map(|number| regular_word(given, day, number, rng)).collect();
    let tells = join_all(regulars.iter().map(|told| tell(company, told)));
    futures_util::future::join(tells, a_day_passes(company, start)).await;
}

async fn a_day_passes(company: &Company, start: At) {
    // The sandbox notes the time at which a step began: the morning is a step of its own.
    for minutes in [7, 30, 75, 120, 400, 1375, 1385, 1440] {
        company.advance_to(start + TimeDelta::minutes(minutes)).await;
    }
}

fn soon(rng: &mut StdRng, within_ms: u64) -> Duration {
    Duration::from_millis(rng.random_range(0..within_ms))
}

fn newcomer(day: usize, number: usize, rng: &mut StdRng) -> Customer {
    let (staff, habit) = STAFF[rng.random_range(0..STAFF.len())];
    let orders = (0..rng.random_range(0..3)).map(|_| rng.random_range(1..500)).collect();
    Customer {
        id: format!("wmD{day:03}N{number:02}"),
        name: format!("客{day:03}号{number:02}"),
        staff,
        habit,
        day,
        orders,
        visits: rng.random_range(0..3),
    }
}

fn words_of(one: &Customer, rng: &mut StdRng) -> Vec<Told> {
    let orders = one.orders.iter().enumerate().map(|(number, amount)| {
        let id = format!("order-{}-{number}", one.id);
        ("order.paid", json!({ "amount": amount.to_string(), "order_id": id }), id)
    });
    let visits = (0..one.visits)
        .map(|number| ("visit.made", json!({ "store": "一号店" }), format!("visit-{}-{number}", one.id)));
    let all: Vec<_> = orders.chain(visits).collect();
    let told = |(kind, data, id)| Told { after: soon(rng, 1500), id, customer: one.id.clone(), kind, data };
    all.into_iter().map(told).collect()
}

/// A visit, or one more order, of somebody who ordered before.
fn regular_word(given: &mut Given, day: usize, number: usize, rng: &mut StdRng) -> Told {
    let place = rng.random_range(0..given.customers.len());
    let one = given.customers.get_mut(place).expect("the place lies inside");
    let (after, id) = (soon(rng, 8000), format!("regular-{day}-{number}"));
    let customer = one.id.clone();
    // A first order belongs to a morning: what follows from it is counted by the day.
    if one.orders.is_empty() || rng.random_bool(0.6) {
        one.visits += 1;
        return Told { after, id, customer, kind: "visit.made", data: json!({ "store": "二号店" }) };
    }
    let amount = rng.random_range(1..500);
    one.orders.push(amount);
    let data = json!({ "amount": amount.to_string(), "order_id": id });
    Told { after, id, customer, kind: "order.paid", data }
}

async fn arrives(company: &Company, one: &Customer, after: Duration, words: &[Told]) {
    tokio::time::sleep(after).await;
    let (customer, userid) = (one.id.clone(), one.staff.to_owned());
    let adding = Adding { customer, userid, name: Some(one.name.clone()), ..Adding::default() };
    company.world().customer_adds(adding).await.unwrap();
    join_all(words.iter().map(|told| tell(company, told))).await;
}

async fn tell(company: &Company, told: &Told) {
    tokio::time::sleep(told.after).await;
    let event = json!({ "specversion": "1.0", "id": told.id, "source": "shop", "type": told.kind, "subject": told.customer,
        "time": company.clock.now().to_rfc3339(), "data": told.data });
    company.door().tells(&event).await;
}
