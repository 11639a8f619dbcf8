//! Orders and refunds: lifetime figures, and the list that refunds are matched against.

use std::time::Duration;

use serde_json::{Map, Value};

use super::customer::{Deciding, Happening};
use super::{fields, moments};
use crate::domain::customer::Order;
use crate::domain::money::Fen;

/// Orders are matched with refunds this long; the figures that came of them stay for ever.
const KEPT: Duration = Duration::from_secs(400 * 86_400);
/// Nobody's list grows without end.
const MOST_ORDERS: usize = 1000;
const MOST_EARLY_REFUNDS: usize = 100;
/// A refund that names no amount gives everything back.
const EVERYTHING: Fen = Fen(i64::MAX);

impl Deciding<'_> {
    /// Takes up a paid order; false when it is known already, under its own number in another event.
    pub(super) fn paid(&mut self, happening: &Happening) -> bool {
        let data = &happening.data;
        let id = fields::text_or_number(data, "order_id").unwrap_or_else(|| happening.id.as_str().to_owned());
        if self.customer.order_list.iter().any(|order| order.id == id) {
            self.draft.trace(format!("order {id} is known already"));
            return false;
        }
        let amount = fields::amount(data, "amount").unwrap_or_else(|| {
            self.draft.trace("an order without a readable amount counts as one of 0");
            Fen(0)
        });
        let early = self.customer.early_refunds.remove(&id).unwrap_or_default();
        let product = fields::text(data, "product").map(str::to_owned);
        let order = Order { id, at: happening.at, amount, refunded: early.min(amount), product };
        let customer = &mut self.customer;
        if !is_given_back(&order) {
            customer.orders = customer.orders.saturating_add(1);
        }
        customer.spend = Fen(customer.spend.0.saturating_add(amount.0.saturating_sub(order.refunded.0)));
        customer.first_order_at = Some(customer.first_order_at.map_or(order.at, |first| first.min(order.at)));
        customer.last_order_at = customer.last_order_at.max(Some(order.at));
        let place = customer.order_list.partition_point(|earlier| earlier.at <= order.at);
        customer.order_list.insert(place, order);
        self.forget_old_orders();
        true
    }

    /// Gives money back; a refund that comes before its order waits for it.
    pub(super) fn refunded(&mut self, data: &Map<String, Value>) {
        let Some(id) = fields::text_or_number(data, "order_id") else {
            return self.draft.trace("a refund without order_id gives nothing back");
        };
        let amount = match data.get("amount") {
            None | Some(Value::Null) => EVERYTHING,
            Some(_) => match fields::amount(data, "amount") {
                Some(amount) => amount,
                None => return self.draft.trace("a refund whose amount cannot be read gives nothing back"),
            },
        };
        let customer = &mut self.customer;
        let Some(order) = customer.order_list.iter_mut().find(|order| order.id == id) else {
            return self.remember_early_refund(id, amount);
        };
        let was_given_back = is_given_back(order);
        let more = amount.0.min(order.amount.0.saturating_sub(order.refunded.0)).max(0);
        order.refunded = Fen(order.refunded.0.saturating_add(more));
        if is_given_back(order) && !was_given_back {
            customer.orders = customer.orders.saturating_sub(1);
        }
        customer.spend = Fen(customer.spend.0.saturating_sub(more));
    }

    fn remember_early_refund(&mut self, order: String, amount: Fen) {
        let waiting = &mut self.customer.early_refunds;
        if waiting.len() >= MOST_EARLY_REFUNDS && !waiting.contains_key(&order) {
            return self.draft.trace(format!("{MOST_EARLY_REFUNDS} refunds wait for their orders; this one is let go"));
        }
        let sum = waiting.entry(order).or_default();
        *sum = Fen(sum.0.saturating_add(amount.0));
    }

    fn forget_old_orders(&mut self) {
        let oldest = moments::before(self.now, KEPT);
        let list = &mut self.customer.order_list;
        list.retain(|order| order.at >= oldest);
        let surplus = list.len().saturating_sub(MOST_ORDERS);
        list.drain(..surplus);
    }
}

/// An order of 0 cannot be given back.
fn is_given_back(order: &Order) -> bool {
    order.refunded.0 > 0 && order.refunded >= order.amount
}
