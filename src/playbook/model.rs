//! The compiled rules. Every reference is resolved, every expression and template parsed, every time in the zone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;

use super::expression::Condition;
use super::template::Template;
use super::times::on_the_clock;
use crate::domain::At;
use crate::domain::delivery::Channel;
use crate::domain::ids::{JourneyId, MessageId, SegmentId, StepId, TagName, TouchpointId, UserId};
use crate::settings::Locale;

/// The rules, compiled.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// SHA-256 of the sources, in hex.
    pub revision: String,
    /// `playbook.id`.
    pub id: String,
    /// `playbook.name`.
    pub name: String,
    /// `playbook.north_star`, one of the ten indicators.
    pub north_star: Option<String>,
    /// `playbook.key_product`.
    pub key_product: Option<String>,
    /// The server's zone; every day, time of day and schedule is in it.
    pub zone: Tz,
    /// The server's language, for cards and other built-in texts.
    pub locale: Locale,
    /// When segments are looked at for what only time changes.
    pub sweep: Schedule,
    /// Tag groups this playbook owns, with their order.
    pub tag_groups: BTreeMap<String, u32>,
    /// In the order of the file.
    pub touchpoints: Vec<Touchpoint>,
    /// In the order of the file.
    pub segments: Vec<Segment>,
    /// By id.
    pub messages: BTreeMap<MessageId, MessageTemplate>,
    /// First match wins.
    pub welcome: Vec<WelcomeRule>,
    /// In the order of the file.
    pub journeys: Vec<Journey>,
    /// What may hold back or drop.
    pub guardrails: Guardrails,
    /// How staff are asked.
    pub staff: StaffRules,
}

/// A named moment of contact.
#[derive(Debug, Clone)]
pub struct Touchpoint {
    /// Its id.
    pub id: TouchpointId,
    /// Its name for people.
    pub name: String,
    /// A stage of the experience canvas.
    pub stage: Option<String>,
    /// Event types it is met by.
    pub on: Vec<String>,
    /// Judged over the record as it is after the event.
    pub condition: Option<Condition>,
    /// Goes on the pair of the event, or the owner's.
    pub tags: Vec<TagName>,
}

/// A named condition over a record.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its id.
    pub id: SegmentId,
    /// Its name for people.
    pub name: String,
    /// Inside while this holds.
    pub when: Condition,
    /// On every follower while inside.
    pub tags: Vec<TagName>,
}

/// A message before it knows its customer.
#[derive(Debug, Clone)]
pub struct MessageTemplate {
    /// The text.
    pub text: Option<Template>,
    /// What comes with it.
    pub attachments: Vec<AttachmentTemplate>,
}

/// An attachment before it knows its customer.
#[derive(Debug, Clone)]
pub enum AttachmentTemplate {
    /// A link card.
    Link {
        /// Title.
        title: Template,
        /// Description.
        desc: Option<Template>,
        /// Address.
        url: Template,
        /// Picture.
        picurl: Option<Template>,
    },
    /// An image by permanent URL.
    Image {
        /// Address.
        pic_url: Template,
    },
    /// A mini program page.
    Miniprogram {
        /// Title.
        title: Template,
        /// Cover.
        pic_media_id: String,
        /// The mini program.
        appid: String,
        /// The page.
        page: Template,
    },
}

/// Who is greeted with what.
#[derive(Debug, Clone)]
pub struct WelcomeRule {
    /// Only when the adding met this touchpoint.
    pub touchpoint: Option<TouchpointId>,
    /// Only when this holds.
    pub condition: Option<Condition>,
    /// With this message.
    pub say: MessageId,
}

/// A journey.
#[derive(Debug, Clone)]
pub struct Journey {
    /// Its id.
    pub id: JourneyId,
    /// Its name for people.
    pub name: String,
    /// onboarding, retention, referral, service or sales.
    pub kind: Option<String>,
    /// What lets a customer in.
    pub enter: Enter,
    /// `backfill`: those already inside the segment enter too.
    pub backfill: bool,
    /// Only when this holds.
    pub condition: Option<Condition>,
    /// Earliest re-entry, counted from the last entry; never when absent.
    pub again: Option<Duration>,
    /// Share left alone, in hundredths of a percent: 0 to 10000.
    pub holdout: u32,
    /// Who gets the contact budget first; larger first. 50 when the file says nothing.
    pub priority: i64,
    /// What it is for.
    pub goal: Option<Goal>,
    /// Ends the run when it holds.
    pub exit: Option<Condition>,
    /// The steps, flattened; see [`Step::next`].
    pub steps: Vec<Step>,
    /// SHA-256 over the steps, to tell whether a reload changed them.
    pub steps_hash: String,
}

impl Journey {
    /// Where the step with this id stands in `steps`.
    #[must_use]
    pub fn position(&self, step: &StepId) -> Option<usize> {
        self.steps.iter().position(|s| s.id == *step)
    }
}

/// What lets a customer into a journey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enter {
    /// Entering the segment.
    Segment(SegmentId),
    /// Meeting the touchpoint.
    Touchpoint(TouchpointId),
    /// An event of this type.
    Event(String),
    /// The schedule, for every customer for whom `condition` holds.
    Schedule(Schedule),
}

/// A cron schedule in the server's zone; compared by its text.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// As written: six fields, seconds first.
    pub source: String,
    /// Parsed.
    pub cron: Box<cron::Schedule>,
}

impl Schedule {
    /// When it comes due after a moment, by the zone's clock: once where the clock is put back and shows a time twice,
    /// and right after the leap where it is put forward over one.
    pub fn after(&self, zone: Tz, moment: At) -> impl Iterator<Item = At> {
        // The schedule is followed on a clock that never leaps.
        let shown = moment.with_timezone(&zone).naive_local().and_utc();
        let due = self.cron.after_owned(shown).map(move |local| on_the_clock(zone, local.naive_utc()));
        let mut latest = moment;
        due.filter(move |due| {
            let is_later = *due > latest;
            latest = latest.max(*due);
            is_later
        })
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}
impl Eq for Schedule {}

/// What a journey is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// A touchpoint or an event type.
    pub on: Signal,
    /// Counted from the entry; the run is watched that long even when its steps are over.
    pub within: Duration,
}

/// Something that may happen to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A touchpoint is met.
    Touchpoint(TouchpointId),
    /// An event of this type comes.
    Event(String),
    /// The latest prompt of this run is done.
    Done,
}

/// One step. Branches are flattened: arms stand behind their branch, and `next` leads past them.
#[derive(Debug, Clone)]
pub struct Step {
    /// `id:` or the position: `1`, `2`, inside the second arm of the third step `3.2.1`.
    pub id: StepId,
    /// Skipped when this does not hold.
    pub condition: Option<Condition>,
    /// What it does.
    pub action: StepAction,
    /// The step after it in `Journey::steps`; none at the end.
    pub next: Option<usize>,
    /// Where it stands in the YAML, for messages: `file:line`.
    pub place: String,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepAction {
    /// Waits that long; behind a nudge, from its sending.
    Wait(Duration),
    /// Waits for the next such time of day, on that weekday if one is named.
    WaitUntil {
        /// Weekday.
        day: Option<Weekday>,
        /// Time of day in the server's zone.
        time: NaiveTime,
    },
    /// Waits for a signal, at most that long, and goes on at either.
    WaitFor {
        /// The signal.
        signal: Signal,
        /// The longest wait.
        within: Duration,
    },
    /// Wants a message sent to the customer.
    Nudge {
        /// What to say.
        say: MessageId,
        /// Channels in order of preference.
        via: Vec<Channel>,
        /// How long it may be held.
        hold: Duration,
    },
    /// Asks staff to do something.
    Prompt {
        /// The card's title.
        title: Template,
        /// Text ready to send.
        say: Option<MessageId>,
        /// Due this long after it is sent.
        due: Option<Duration>,
        /// Who is asked.
        to: PromptTo,
        /// How long it may be held.
        hold: Duration,
    },
    /// Puts tags on every follower or takes them off.
    Tag {
        /// On.
        add: Vec<TagName>,
        /// Off.
        remove: Vec<TagName>,
    },
    /// Makes an event of the same customer.
    Event {
        /// Its type.
        kind: String,
        /// Its data; texts are templates.
        data: BTreeMap<String, EventValue>,
    },
    /// Goes into the first arm that holds.
    Branch {
        /// Condition (none for `else`) and the arm's first step (none for an empty arm).
        arms: Vec<(Option<Condition>, Option<usize>)>,
    },
    /// Ends the run.
    Stop {
        /// Why.
        reason: String,
    },
}

/// A value in an `event` step.
#[derive(Debug, Clone)]
pub enum EventValue {
    /// A text with variables.
    Text(Template),
    /// Anything else, as written.
    Plain(serde_json::Value),
}

/// Who is asked by a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptTo {
    /// The customer's owner, or `staff.default`.
    Owner,
    /// This staff member.
    User(UserId),
    /// Each of `console.managers`, or of the admins when there are none; one of them is to do it.
    Managers,
}

/// What may hold back or drop nudges and prompts.
#[derive(Debug, Clone, Default)]
pub struct Guardrails {
    /// From, to; may pass midnight.
    pub quiet_hours: Option<(NaiveTime, NaiveTime)>,
    /// Days on which nothing goes out.
    pub holidays: BTreeSet<NaiveDate>,
    /// Weekend days that count as working days.
    pub workdays: BTreeSet<NaiveDate>,
    /// When prompts and staff nudges may go out; always when absent.
    pub working_hours: Option<WorkingHours>,
    /// Contacts per customer.
    pub customer_budget: Vec<Budget>,
    /// Cards per staff member.
    pub staff_budget: Vec<Budget>,
}

/// `Mon-Fri 09:00-18:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingHours {
    /// Days of the week.
    pub days: Vec<Weekday>,
    /// From this time of day.
    pub from: NaiveTime,
    /// To this time of day, not included.
    pub to: NaiveTime,
}

/// `2 per 7d`: at most so many within today and the days before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// At most so many.
    pub count: u32,
    /// In so many calendar days, today included.
    pub days: u32,
}

/// How staff are asked.
#[derive(Debug, Clone)]
pub struct StaffRules {
    /// When the morning to-do list goes out.
    pub digest: Option<Schedule>,
    /// A prompt unanswered that long is reported to the managers.
    pub escalate: Option<Duration>,
    /// How long 稍后 puts a card off. 4 h when the file says nothing.
    pub snooze: Duration,
    /// Who owns a customer whom several follow.
    pub owner: OwnerRule,
    /// Prompts about customers without an owner.
    pub default: Option<UserId>,
    /// `console.managers`, or `console.admins` when there are none: who gets escalations.
    pub managers: Vec<UserId>,
}

/// Who owns a customer whom several follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerRule {
    /// The latest.
    LastAdded,
    /// The first.
    FirstAdded,
}
