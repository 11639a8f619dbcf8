//! Every key.
//!
//! `<actor>` is the actor as text (`customer:wm…`), `<id>` an id as it stands, `<p>` the prefix of the settings. All keys
//! of a shard carry its hash tag, so that a script over them stays inside one slot of a cluster.
//!
//! | key | type | holds | lives | written by |
//! |---|---|---|---|---|
//! | `<p>:{sN}:in`, `…:bulk` | stream | field `e`: an event as JSON | until committed | append, firing timers, settling; trimmed by commit |
//! | `…:dead` | stream | `e` an event raw, `error` | the newest 10,000 | commit, firing timers, settling |
//! | `…:cursor` | string | last committed ids: `in bulk` | for ever | commit |
//! | `…:walks` | hash | sweep → how far it came, JSON | for ever | commit |
//! | `…:lease` | string | owner | 3 s, renewed | acquire, renew, release |
//! | `…:fence` | string | `<counter>:<owner>` | for ever | acquire |
//! | `…:timers` | sorted set | `<actor>\|<name>` by due ms | until fired | commit; firing takes away |
//! | `…:out`, `…:urgent` | sorted set | effect id by earliest ms | until settled | commit, settling |
//! | `…:effect:<id>` | hash | `json`, `tries`, `last_try`, `serial` when it has one | until settled | commit, beginning a try, settling |
//! | `…:queue:<serial>` | list | `<lane> <earliest ms> <effect id>`, in their order; the first is in its outbox | until settled | commit, settling |
//! | `…:delivery:<id>` | hash | `state reason kind journey channel customer at`, and all of it as `json` | 400 days after its last turn | commit |
//! | `…:deliveries:<actor>` | sorted set | delivery id by the ms it was wanted | the newest 500 | commit |
//! | `…:actor:<actor>` | hash | the head, one field per field of the record | for ever | commit |
//! | `…:side:<collection>:<actor>` | hash | field → JSON | for ever | commit |
//! | `…:line:<actor>` | list | lines as JSON, newest first | the newest 500 | commit |
//! | `…:seen:<digest>` | string | nothing: an event id was seen | 7 days | append |
//! | `…:seen:<generation>:<bucket>` | hash | digest → nothing: ids of business events | 400 to 500 days | append |
//! | `…:index` | sorted set | every actor with a record, all scores 0 | for ever | commit |
//! | `…:segment:<id>` | sorted set | members by the ms they entered | while they are inside | commit |
//! | `…:count:<YYYY-MM-DD>` | hash | counter → number | 800 days | commit |
//! | `<p>:shards` | string | how many shards there are | for ever | first start |
//! | `<p>:nodes` | hash | owner → `<until ms> worker` or `… web` | 3 s each, renewed | announce, retire |
//! | `<p>:token:<app>` | hash | `version`, `turn`, `turn_until`; while a token lives `sealed`, `stored`, `until` | for ever | shared |
//! | `<p>:refused:<app>:<fingerprint>` | string | a secret was refused | as long as told | shared |
//! | `<p>:budget:<family>` | hash | `<window ms>:<slice>` → calls | twice the longest window | shared |
//! | `<p>:paused` | hash | family → `<until ms> <reason>` | as long as told | shared |
//! | `<p>:clock` | string | how far business time is ahead, ms | for ever | shared |
//! | `<p>:probe` | string | nothing | 1 minute | probe |
//!
//! Side collections do not begin with `…:actor:`: an outside name may hold colons, and one person's record must never be
//! another's collection. Numbers of milliseconds are Unix time.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::domain::actor::Actor;
use crate::domain::effect::Lane;
use crate::domain::ids::{AppId, EffectId, EventId, SegmentId};

use super::streams::InLane;

/// Makes keys for one prefix and number of shards.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
    shards: u16,
}

/// What a key holds, as `TYPE` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hash,
    List,
    SortedSet,
    Stream,
}

impl Kind {
    /// As `commit.lua` reads it.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Hash => 'h',
            Self::List => 'l',
            Self::SortedSet => 'z',
            Self::Stream => 'x',
        }
    }
}

/// What stands for an event's id in dedupe keys: 96 bits of its hash, and 8 more to choose a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// 16 characters.
    pub(super) digest: String,
    /// Which of the 256 buckets of a generation.
    pub(super) bucket: u8,
}

impl Seen {
    pub(super) fn of(id: &EventId) -> Self {
        let hash = Sha256::digest(id.as_str());
        let (digest, rest) = hash.split_at(12);
        let bucket = rest.first().copied().expect("SHA-256 has more than 12 bytes");
        Self { digest: data_encoding::BASE64URL_NOPAD.encode(digest), bucket }
    }
}

impl Keys {
    /// Keys that begin with `prefix`, over `shards` shards.
    #[must_use]
    pub fn new(prefix: &str, shards: u16) -> Self {
        Self { prefix: prefix.to_owned(), shards }
    }

    pub(super) fn shards(&self) -> u16 {
        self.shards
    }

    pub(super) fn shard_of(&self, actor: &Actor) -> u16 {
        actor.shard(self.shards)
    }

    /// A key of one shard: `<p>:{sN}:<rest>`.
    #[must_use]
    pub fn of_shard(&self, shard: u16, rest: &str) -> String {
        format!("{}:{{s{shard}}}:{rest}", self.prefix)
    }

    /// A key that all shards share: `<p>:<rest>`.
    #[must_use]
    pub fn shared(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }

    fn of_actor(&self, actor: &Actor, what: &str) -> String {
        format!("{}:{{s{}}}:{what}:{actor}", self.prefix, self.shard_of(actor))
    }

    pub(super) fn stream(&self, shard: u16, lane: InLane) -> String {
        match lane {
            InLane::In => self.of_shard(shard, "in"),
            InLane::Bulk => self.of_shard(shard, "bulk"),
        }
    }

    pub(super) fn dead(&self, shard: u16) -> String {
        self.of_shard(shard, "dead")
    }

    pub(super) fn cursor(&self, shard: u16) -> String {
        self.of_shard(shard, "cursor")
    }

    pub(super) fn walks(&self, shard: u16) -> String {
        self.of_shard(shard, "walks")
    }

    pub(super) fn lease(&self, shard: u16) -> String {
        self.of_shard(shard, "lease")
    }

    pub(super) fn fence(&self, shard: u16) -> String {
        self.of_shard(shard, "fence")
    }

    pub(super) fn timers(&self, shard: u16) -> String {
        self.of_shard(shard, "timers")
    }

    pub(super) fn outbox(&self, shard: u16, lane: Lane) -> String {
        self.of_shard(shard, lane.name())
    }

    pub(super) fn effect(&self, shard: u16, id: &EffectId) -> String {
        self.of_shard(shard, &format!("effect:{id}"))
    }

    /// Effects with the same serial, in the order in which they were decided.
    pub(super) fn queue(&self, shard: u16, serial: &str) -> String {
        self.of_shard(shard, &format!("queue:{serial}"))
    }

    pub(super) fn delivery(&self, shard: u16, id: &EffectId) -> String {
        self.of_shard(shard, &format!("delivery:{id}"))
    }

    pub(super) fn deliveries(&self, actor: &Actor) -> String {
        self.of_actor(actor, "deliveries")
    }

    /// The hash of an actor's head.
    #[must_use]
    pub fn head(&self, actor: &Actor) -> String {
        self.of_actor(actor, "actor")
    }

    pub(super) fn side(&self, actor: &Actor, collection: &str) -> String {
        self.of_actor(actor, &format!("side:{collection}"))
    }

    pub(super) fn line(&self, actor: &Actor) -> String {
        self.of_actor(actor, "line")
    }

    pub(super) fn seen(&self, shard: u16, seen: &Seen) -> String {
        self.of_shard(shard, &format!("seen:{}", seen.digest))
    }

    pub(super) fn seen_bucket(&self, shard: u16, generation: u64, seen: &Seen) -> String {
        self.of_shard(shard, &format!("seen:{generation}:{:02x}", seen.bucket))
    }

    pub(super) fn index(&self, shard: u16) -> String {
        self.of_shard(shard, "index")
    }

    pub(super) fn segment(&self, shard: u16, id: &SegmentId) -> String {
        self.of_shard(shard, &format!("segment:{id}"))
    }

    pub(super) fn count(&self, shard: u16, day: NaiveDate) -> String {
        self.of_shard(shard, &format!("count:{day}"))
    }

    pub(super) fn shard_count(&self) -> String {
        self.shared("shards")
    }

    pub(super) fn nodes(&self) -> String {
        self.shared("nodes")
    }

    pub(super) fn token(&self, app: &AppId) -> String {
        self.shared(&format!("token:{app}"))
    }

    pub(super) fn refused(&self, app: &AppId, fingerprint: &str) -> String {
        self.shared(&format!("refused:{app}:{fingerprint}"))
    }

    pub(super) fn budget(&self, family: &str) -> String {
        self.shared(&format!("budget:{family}"))
    }

    pub(super) fn paused(&self) -> String {
        self.shared("paused")
    }

    pub(super) fn clock(&self) -> String {
        self.shared("clock")
    }

    pub(super) fn probe(&self) -> String {
        self.shared("probe")
    }

    /// The channel of wake-ups.
    pub(super) fn wake(&self) -> String {
        self.shared("wake")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_shard_carry_its_hash_tag_and_a_readable_actor() {
        let keys = Keys::new("tp", 64);
        let lili: Actor = "staff:LiLi".parse().unwrap();
        let shard = lili.shard(64);
        assert_eq!(keys.stream(12, InLane::In), "tp:{s12}:in");
        assert_eq!(keys.head(&lili), format!("tp:{{s{shard}}}:actor:staff:lili"));
        assert_eq!(keys.side(&lili, "asks"), format!("tp:{{s{shard}}}:side:asks:staff:lili"));
    }

    #[test]
    fn a_name_with_colons_is_never_another_persons_collection() {
        let keys = Keys::new("tp", 1);
        let plain: Actor = "identity:member_id:7".parse().unwrap();
        let sly: Actor = "identity:member_id:7:parked".parse().unwrap();
        assert_ne!(keys.side(&plain, "parked"), keys.head(&sly));
        assert_ne!(keys.side(&plain, "parked"), keys.side(&sly, "parked"));
    }
}
