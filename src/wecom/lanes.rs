//! How many calls of one API are under way at once, narrower after WeCom complains (45033).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::api::Api;

/// So many calls without a complaint widen a lane by one again.
const STREAK: u32 = 50;

/// The lanes of all APIs, in this process.
#[derive(Debug)]
pub(crate) struct Lanes(BTreeMap<Api, Lane>);

#[derive(Debug)]
struct Lane {
    places: Semaphore,
    width: Mutex<Width>,
    most: usize,
}

#[derive(Debug)]
struct Width {
    now: usize,
    /// Places to be taken away when the calls that hold them end.
    owed: usize,
    streak: u32,
}

/// A place in a lane, given back when dropped.
pub(crate) struct Place<'a> {
    lane: &'a Lane,
    permit: Option<SemaphorePermit<'a>>,
}

impl Lanes {
    /// Every lane at its full width.
    pub(crate) fn new() -> Self {
        Self(Api::ALL.into_iter().map(|api| (api, Lane::new(api.width()))).collect())
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self, api: Api) -> Option<Place<'_>> {
        let lane = self.0.get(&api)?;
        // A semaphore that nobody closes always gives a permit in the end.
        let permit = lane.places.acquire().await.ok();
        Some(Place { lane, permit })
    }

    /// WeCom found it too many: half as many from now on.
    pub(crate) fn narrow(&self, api: Api) {
        if let Some(lane) = self.0.get(&api) {
            lane.narrow();
        }
    }

    /// A call went well.
    pub(crate) fn praise(&self, api: Api) {
        if let Some(lane) = self.0.get(&api) {
            lane.praise();
        }
    }
}

impl Lane {
    fn new(most: usize) -> Self {
        Self { places: Semaphore::new(most), width: Mutex::new(Width { now: most, owed: 0, streak: 0 }), most }
    }

    fn width(&self) -> std::sync::MutexGuard<'_, Width> {
        self.width.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn narrow(&self) {
        let mut width = self.width();
        let fewer = width.now - (width.now / 2).max(1);
        width.now -= fewer;
        width.streak = 0;
        width.owed += fewer - self.places.forget_permits(fewer);
    }

    fn praise(&self) {
        let mut width = self.width();
        if width.now == self.most {
            return;
        }
        width.streak += 1;
        if width.streak >= STREAK {
            width.streak = 0;
            width.now += 1;
            if width.owed > 0 {
                width.owed -= 1;
            } else {
                self.places.add_permits(1);
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut width = self.lane.width();
        if width.owed > 0 {
            width.owed -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fits(lanes: &Lanes, api: Api) -> usize {
        let mut places = Vec::new();
        while lanes.0[&api].places.available_permits() > 0 {
            places.push(lanes.enter(api).await);
        }
        places.len()
    }

    #[tokio::test]
    async fn a_complaint_halves_the_lane_also_when_all_its_places_are_taken() {
        let lanes = Lanes::new();
        let api = Api::MarkTag;
        let mut taken = Vec::new();
        for _ in 0..8 {
            taken.push(lanes.enter(api).await);
        }
        lanes.narrow(api);
        assert_eq!(fits(&lanes, api).await, 0);
        drop(taken);
        assert_eq!(fits(&lanes, api).await, 4);
        for left in [2, 1, 1] {
            lanes.narrow(api);
            assert_eq!(fits(&lanes, api).await, left);
        }
    }

    #[tokio::test]
    async fn calls_that_go_well_widen_it_again_one_by_one_and_never_beyond_its_full_width() {
        let lanes = Lanes::new();
        let api = Api::GetMassSendResult;
        lanes.narrow(api);
        assert_eq!(fits(&lanes, api).await, 2);
        for _ in 0..STREAK {
            lanes.praise(api);
        }
        assert_eq!(fits(&lanes, api).await, 3);
        for _ in 0..10 * STREAK {
            lanes.praise(api);
        }
        assert_eq!(fits(&lanes, api).await, 4);
    }
}
