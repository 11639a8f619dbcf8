//! Segments (分层): entered and left as their conditions turn true and false.

use std::collections::BTreeSet;

use super::customer::{Deciding, data};
use crate::domain::event::types;
use crate::domain::ids::{SegmentId, TagName};
use crate::playbook::model::{Enter, Segment, StepAction};

/// Segments whose conditions chase each other through tags stop after so many turns in one decision.
const MOST_FLIPS: u32 = 4;

impl<'a> Deciding<'a> {
    /// Judges every segment until none changes any more. Conditions that look at an event look at the one that came,
    /// so that what follows from it does not turn them back.
    pub(super) fn segments(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let playbook = self.playbook;
        for _ in 0..=playbook.segments.len() {
            let mut has_changed = false;
            for segment in &playbook.segments {
                has_changed |= self.judge_segment(segment);
            }
            if !has_changed {
                break;
            }
        }
        self.leave_removed_segments();
        self.tag_new_pairs();
    }

    fn judge_segment(&mut self, segment: &Segment) -> bool {
        let event = self.draft.event;
        let view = self.view(&event.data);
        let is_inside = segment.when.holds(&view);
        if is_inside == self.customer.segments.contains_key(&segment.id) {
            return false;
        }
        let because: Vec<String> =
            segment.when.explain(&view).into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let flips = self.flips.entry(segment.id.clone()).or_default();
        *flips += 1;
        if *flips > MOST_FLIPS {
            self.draft.trace(format!("segment {}: its condition turns with its own tags; left as it is", segment.id));
            return false;
        }
        self.turn_segment(segment, is_inside, &because.join(", "));
        true
    }

    fn turn_segment(&mut self, segment: &Segment, is_inside: bool, because: &str) {
        self.draft.member(segment.id.clone(), is_inside);
        let kind = if is_inside {
            self.customer.segments.insert(segment.id.clone(), self.now);
            segment.tags.iter().for_each(|tag| self.put_tag_everywhere(tag));
            types::SEGMENT_ENTERED
        } else {
            self.customer.segments.remove(&segment.id);
            for tag in &segment.tags {
                if !self.is_wanted_by_another(segment, tag) {
                    self.take_tag_everywhere(tag);
                }
            }
            types::SEGMENT_LEFT
        };
        self.happen(kind, self.now, data([("segment", segment.id.as_str()), ("because", because)]));
    }

    /// Two segments may share a tag; it goes when the last of them is left.
    fn is_wanted_by_another(&self, left: &Segment, tag: &TagName) -> bool {
        let others = self.playbook.segments.iter().filter(|segment| segment.id != left.id);
        others.filter(|segment| self.customer.segments.contains_key(&segment.id)).any(|other| other.tags.contains(tag))
    }

    /// A segment that the playbook does not have any more is left; its tags are no longer known, so they stay.
    fn leave_removed_segments(&mut self) {
        let is_gone = |id: &&SegmentId| !self.playbook.segments.iter().any(|segment| segment.id == **id);
        let gone: Vec<SegmentId> = self.customer.segments.keys().filter(is_gone).cloned().collect();
        for id in gone {
            self.customer.segments.remove(&id);
            self.draft.member(id.clone(), false);
            let because = "the playbook does not have it any more";
            self.happen(types::SEGMENT_LEFT, self.now, data([("segment", id.as_str()), ("because", because)]));
        }
    }

    /// Who follows a customer from now on finds the tags of the segments the customer is in.
    fn tag_new_pairs(&mut self) {
        let playbook = self.playbook;
        for userid in std::mem::take(&mut self.new_pairs) {
            for segment in playbook.segments.iter() {
                if self.customer.segments.contains_key(&segment.id) {
                    segment.tags.iter().for_each(|tag| self.put_tag(&userid, tag));
                }
            }
            // Who comes back finds the tags of before still there.
            self.tags_of_segments_left().into_iter().for_each(|tag| self.take_tag(&userid, tag));
        }
    }

    /// Tags that segments alone put on, and no segment that the customer is in.
    fn tags_of_segments_left(&self) -> BTreeSet<&'a TagName> {
        let playbook = self.playbook;
        let (inside, left): (Vec<&Segment>, Vec<&Segment>) =
            playbook.segments.iter().partition(|segment| self.customer.segments.contains_key(&segment.id));
        let by_touchpoints = playbook.touchpoints.iter().flat_map(|touchpoint| &touchpoint.tags);
        let steps = playbook.journeys.iter().flat_map(|journey| &journey.steps);
        let by_steps = steps.flat_map(|step| match &step.action {
            StepAction::Tag { add, .. } => add.as_slice(),
            _ => &[],
        });
        let wanted: BTreeSet<&TagName> =
            inside.into_iter().flat_map(|segment| &segment.tags).chain(by_touchpoints).chain(by_steps).collect();
        left.into_iter().flat_map(|segment| &segment.tags).filter(|tag| !wanted.contains(tag)).collect()
    }

    /// What a sweep does beyond judging: tags that a changed definition brought, tags that WeCom did not take when they
    /// were asked for, and journeys that also take those already inside.
    pub(super) fn sweep(&mut self) {
        let playbook = self.playbook;
        for segment in &playbook.segments {
            if self.customer.segments.contains_key(&segment.id) {
                segment.tags.iter().for_each(|tag| self.put_tag_everywhere(tag));
            }
        }
        self.tags_of_segments_left().into_iter().for_each(|tag| self.take_tag_everywhere(tag));
        for journey in &playbook.journeys {
            let Enter::Segment(segment) = &journey.enter else { continue };
            let is_new = !self.customer.runs.contains_key(&journey.id)
                && !self.customer.past_runs.contains_key(&journey.id)
                && !self.customer.considered.contains_key(&journey.id);
            if journey.backfill && is_new && self.customer.segments.contains_key(segment) {
                let event = self.draft.event;
                let trigger = data([("segment", segment.as_str())]);
                self.enter(journey, &event.id, &trigger);
            }
        }
    }
}
