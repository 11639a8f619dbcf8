//! Business time: the real clock plus an offset that `clock: adjustable` can move forwards.
//!
//! Leases, expiries, token life and WeCom's per-minute quotas run on real time and do not come here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::At;

/// A business clock; clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that is that many milliseconds ahead of real time; behind it when the number is negative.
    #[must_use]
    pub fn with_offset_ms(offset_ms: i64) -> Self {
        Self { offset_ms: Arc::new(AtomicI64::new(offset_ms)) }
    }

    /// A clock that shows `at` now, in the past or in the future, and goes on from there.
    #[must_use]
    pub fn starting_at(at: At) -> Self {
        Self::with_offset_ms((at - Utc::now()).num_milliseconds())
    }

    /// Now, in business time, to the millisecond.
    #[must_use]
    pub fn now(&self) -> At {
        let real = Utc::now() + TimeDelta::milliseconds(self.offset_ms());
        DateTime::from_timestamp_millis(real.timestamp_millis()).unwrap_or(real)
    }

    /// How far business time is ahead of real time, in milliseconds; negative when it is behind.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Acquire)
    }

    /// Takes over an offset read from Redis. Business time never runs backwards: a smaller offset is ignored.
    pub fn take_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.fetch_max(offset_ms, Ordering::AcqRel);
    }
}
