//! The words of `why`: names, states, facts and steps as an operations manager says them.

use chrono::Weekday;

use super::{card_words, nudges, reasons};
use crate::domain::At;
use crate::domain::customer::Customer;
use crate::domain::delivery::{Channel, DeliveryKind, DeliveryState};
use crate::domain::event::types;
use crate::domain::ids::{JourneyId, SegmentId, TouchpointId, UserId};
use crate::playbook::model::{Playbook, Signal, StepAction};
use crate::settings::Locale;

/// Names of facts, in Chinese and in English. Whatever is not here is a value that a condition read.
const FACTS: &[(&str, &str, &str)] = &[
    (reasons::HOLIDAY, "节假日", "holidays"),
    (reasons::QUIET_HOURS, "免打扰时段", "quiet hours"),
    (reasons::WORKING_HOURS, "工作时间", "working hours"),
    (reasons::CUSTOMER_BUDGET, "客户触达预算", "customer budget"),
    (reasons::STAFF_BUDGET, "员工卡片预算", "staff budget"),
    ("entered", "进入旅程", "entered the journey"),
    ("because", "进入时", "on entering"),
    ("waits for", "等待", "waits for"),
    ("until", "等到", "until"),
    ("held since", "开始等待", "held since"),
    ("held by", "受限于", "held by"),
    ("guardrail", "受限于", "held by"),
    ("staff", "员工", "staff"),
    ("flush", "群发汇总时间", "mass sends leave at"),
    ("msgid", "企业微信消息编号", "WeCom's message id"),
    ("errcode", "企业微信返回码", "WeCom's code"),
    ("message", "说明", "detail"),
    ("tries", "尝试次数", "tries"),
    ("tapped", "员工点击", "tapped"),
    ("managers", "已告知", "told"),
    ("send_time", "员工发出时间", "sent at"),
    ("fail_list", "企业微信标记无法送达", "WeCom cannot reach"),
    ("rule", "匹配的欢迎语规则", "welcome rule"),
    ("say", "文案", "message"),
    ("name", "客户昵称", "name"),
    ("touchpoints met", "到达的触点", "touchpoints met"),
    ("step", "步骤", "step"),
    ("event", "事件", "event"),
    ("template", "模板", "template"),
    ("part", "部分", "part"),
    ("bytes", "字节数", "bytes"),
    ("limit", "上限", "limit"),
];

/// Event types in Chinese.
const EVENTS: &[(&str, &str)] = &[
    (types::CONTACT_ADDED, "添加好友"),
    (types::CONTACT_HALF_ADDED, "单向添加好友"),
    (types::CONTACT_PROFILE, "读到客户资料"),
    (types::CONTACT_SYNCED, "同步到好友关系"),
    (types::CONTACT_EDITED, "员工修改备注或标签"),
    (types::CONTACT_LOST, "删除员工"),
    (types::CONTACT_DELETED, "被员工删除"),
    (types::CONTACT_TRANSFERRED, "转给其他员工"),
    (types::CONTACT_TRANSFER_FAILED, "转接失败"),
    (types::CUSTOMER_UPDATED, "资料更新"),
    (types::CUSTOMER_OPTED_OUT, "退订"),
    (types::CUSTOMER_OPTED_IN, "恢复接收"),
    (types::GROUP_JOINED, "进群"),
    (types::GROUP_LEFT, "退群"),
    (types::ORDER_PAID, "订单支付"),
    (types::ORDER_REFUNDED, "订单退款"),
    (types::VISIT_MADE, "到店"),
    (types::RENEWAL_DUE, "续费到期"),
    (types::RENEWAL_PAID, "已续费"),
    (types::SEGMENT_ENTERED, "进入分层"),
    (types::SEGMENT_LEFT, "离开分层"),
    (types::TOUCHPOINT_MET, "到达触点"),
    (types::JOURNEY_ENTERED, "进入旅程"),
    (types::JOURNEY_GOAL, "旅程达成目标"),
    (types::JOURNEY_ENDED, "旅程结束"),
    (types::NUDGE_SENT, "触达已发送"),
    (types::NUDGE_CONFIRMED, "触达已确认"),
    (types::NUDGE_FAILED, "触达失败"),
    (types::NUDGE_DROPPED, "触达不发送"),
    (types::PROMPT_SENT, "提醒已发送"),
    (types::PROMPT_DONE, "提醒已完成"),
    (types::PROMPT_SNOOZED, "提醒稍后处理"),
    (types::PROMPT_DISMISSED, "提醒不需要处理"),
    (types::EFFECT_FAILED, "企业微信调用失败"),
];

/// Somebody who knows the rules' names and speaks one language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub(super) playbook: &'a Playbook,
    /// Whose staff have names.
    pub(super) customer: &'a Customer,
    pub(super) locale: Locale,
}

impl Speaker<'_> {
    pub(super) fn say(&self, chinese: impl Into<String>, english: impl Into<String>) -> String {
        match self.locale {
            Locale::ZhCn => chinese.into(),
            Locale::En => english.into(),
        }
    }

    /// A moment in the server's zone.
    pub(super) fn time(&self, at: At) -> String {
        super::moments::written(self.playbook.zone, at)
    }

    pub(super) fn segment(&self, id: &SegmentId) -> String {
        let known = self.playbook.segments.iter().find(|segment| segment.id == *id);
        known.map_or_else(|| id.to_string(), |segment| segment.name.clone())
    }

    pub(super) fn touchpoint(&self, id: &TouchpointId) -> String {
        let known = self.playbook.touchpoints.iter().find(|touchpoint| touchpoint.id == *id);
        known.map_or_else(|| id.to_string(), |touchpoint| touchpoint.name.clone())
    }

    pub(super) fn journey(&self, id: &JourneyId) -> String {
        let known = self.playbook.journeys.iter().find(|journey| journey.id == *id);
        known.map_or_else(|| id.to_string(), |journey| journey.name.clone())
    }

    /// A staff member by name, as far as the customer's record knows it.
    pub(super) fn staff(&self, userid: &str) -> String {
        let known = UserId::parse(userid).ok().and_then(|userid| self.customer.followers.get(&userid));
        match known.and_then(|pair| pair.name.as_deref()) {
            Some(name) => self.say(format!("{name}({userid})"), format!("{name} ({userid})")),
            None => userid.to_owned(),
        }
    }

    /// A value that a condition read.
    pub(super) fn value(&self, value: &str) -> String {
        if value == "none" { self.say("空", "none") } else { value.to_owned() }
    }

    pub(super) fn reason(&self, reason: &str) -> String {
        reasons::in_words(reason, self.locale)
    }

    pub(super) fn kind(&self, kind: DeliveryKind) -> String {
        match kind {
            DeliveryKind::Nudge => self.say("触达", "Nudge"),
            DeliveryKind::Prompt => self.say("提醒", "Prompt"),
            DeliveryKind::Welcome => self.say("欢迎语", "Welcome"),
        }
    }

    /// Where a delivery stands: what staff confirm of a prompt is that it is done.
    pub(super) fn state(&self, state: DeliveryState, kind: DeliveryKind) -> String {
        match state {
            DeliveryState::Confirmed if kind == DeliveryKind::Prompt => self.say("已完成", "done"),
            DeliveryState::Wanted => self.say("待发", "wanted"),
            DeliveryState::Held => self.say("暂缓", "held"),
            DeliveryState::Sent => self.say("已发送", "sent"),
            DeliveryState::Confirmed => self.say("已确认", "confirmed"),
            DeliveryState::Failed => self.say("失败", "failed"),
            DeliveryState::Dropped => self.say("不发送", "dropped"),
        }
    }

    fn channel(&self, channel: Channel) -> String {
        match channel {
            Channel::Welcome => self.say("欢迎语", "welcome"),
            Channel::Kf => self.say("微信客服", "微信客服 (kf)"),
            Channel::Mass => self.say("企业群发", "mass send"),
            Channel::Staff => self.say("员工代发", "staff"),
            Channel::Group => self.say("客户群", "group"),
            Channel::Moment => self.say("朋友圈", "moment"),
        }
    }

    pub(super) fn event(&self, kind: &str) -> String {
        let chinese = event_in_chinese(kind);
        chinese.map_or_else(|| kind.to_owned(), |chinese| self.say(format!("{chinese}({kind})"), kind))
    }

    /// What became of a trigger.
    pub(super) fn outcome(&self, outcome: &str) -> String {
        if let Some(condition) = outcome.strip_prefix("where: ") {
            return self.say(
                format!("没有进入,条件不满足:{condition}"),
                format!("not entered, the condition did not hold: {condition}"),
            );
        }
        if let Some(condition) = outcome.strip_prefix("exit: ") {
            return self.say(
                format!("没有进入,退出条件已满足:{condition}"),
                format!("not entered, the exit condition held: {condition}"),
            );
        }
        if let Some(earliest) = outcome.strip_prefix("not again before ") {
            return self
                .say(format!("没有进入,{earliest} 之前不再进入"), format!("not entered again before {earliest}"));
        }
        let words = self.reason(outcome);
        match outcome {
            reasons::ENTERED => words,
            reasons::HELD_OUT => self.say(format!("已进入,{words}"), format!("entered; {words}")),
            _ => self.say(format!("没有进入:{words}"), format!("not entered: {words}")),
        }
    }

    /// One fact of a turn as a sentence.
    pub(super) fn fact(&self, name: &str, value: &str) -> String {
        if let Some(channel) = name.strip_prefix("channel ") {
            return self.door(channel, value);
        }
        let Some((_, chinese, english)) = FACTS.iter().find(|(known, _, _)| *known == name) else {
            let value = self.value(value);
            return self.say(format!("条件取值:{name} = {value}"), format!("value: {name} = {value}"));
        };
        let value = match name {
            "held by" | "guardrail" => self.reason(value),
            "tapped" => self.button(value),
            "staff" | "managers" => value.split(", ").map(|userid| self.staff(userid)).collect::<Vec<_>>().join(", "),
            "touchpoints met" if value == "none" => self.say("无", "none"),
            "touchpoints met" => {
                let met = value
                    .split(", ")
                    .map(|id| TouchpointId::parse(id).map_or_else(|_| id.to_owned(), |id| self.touchpoint(&id)));
                met.collect::<Vec<_>>().join(", ")
            }
            "event" => self.event(value),
            "waits for" if value == "profile" => self.say("客户资料", "the customer's profile"),
            "name" if value == "known" => self.say("已知", value),
            "name" if value == "not known in time" => self.say("未能及时读到", value),
            "part" => self.part(value),
            "until" | "say" | "message" | "name" => value.to_owned(),
            _ => self.verdict(value),
        };
        self.say(format!("{chinese}:{value}"), format!("{english}: {value}"))
    }

    /// The part of a message that is too long.
    fn part(&self, part: &str) -> String {
        match part {
            "text" => self.say("正文", part),
            "link title" => self.say("链接标题", part),
            "link desc" => self.say("链接描述", part),
            "link url" => self.say("链接地址", part),
            "link picurl" => self.say("链接封面地址", part),
            "image pic_url" => self.say("图片地址", part),
            "miniprogram title" => self.say("小程序标题", part),
            "miniprogram page" => self.say("小程序页面", part),
            other => other.to_owned(),
        }
    }

    /// A button as cards name it.
    fn button(&self, key: &str) -> String {
        match key {
            card_words::DONE => self.say("已完成", "done"),
            card_words::SENT => self.say("已发送", "sent"),
            card_words::SNOOZE => self.say("稍后", "later"),
            card_words::DISMISS => self.say("不需要 / 不发送", "not needed / don't send"),
            other => other.to_owned(),
        }
    }

    /// A guardrail's verdict: `open`, `closed until …`, `3 of 20 per 1d used`; anything else as it is.
    fn verdict(&self, value: &str) -> String {
        if value == "open" {
            return self.say("放行", "open");
        }
        if let Some(until) = value.strip_prefix("closed until ") {
            return self.say(format!("关闭,{until} 放行"), value);
        }
        let counted = value.split_once(" of ").and_then(|(used, rest)| Some((used, rest.split_once(" per ")?)));
        let Some((used, (count, days))) = counted else { return value.to_owned() };
        let days = days.trim_end_matches(" used").trim_end_matches('d');
        self.say(format!("{days} 天内已用 {used}/{count} 次"), value)
    }

    /// Whether a channel was open, and why not.
    fn door(&self, channel: &str, value: &str) -> String {
        let all = [Channel::Welcome, Channel::Kf, Channel::Mass, Channel::Staff, Channel::Group, Channel::Moment];
        let known = all.into_iter().find(|one| nudges::channel_name(*one) == channel);
        let channel = known.map_or_else(|| channel.to_owned(), |known| self.channel(known));
        if let Some(staff) = value.strip_prefix("open, through ").map(|userid| self.staff(userid)) {
            return self.say(
                format!("渠道 {channel}:可用,经员工 {staff}"),
                format!("channel {channel}: open, through {staff}"),
            );
        }
        let (reason, until) = value.split_once(", until ").unwrap_or((value, ""));
        let reason = self.reason(reason);
        let until = match until {
            "" => String::new(),
            until => self.say(format!(",{until} 起可用"), format!(", until {until}")),
        };
        self.say(
            format!("渠道 {channel}:不可用,{reason}{until}"),
            format!("channel {channel}: closed, {reason}{until}"),
        )
    }

    /// What a step does.
    pub(super) fn step(&self, action: &StepAction) -> String {
        match action {
            StepAction::Wait(wait) => {
                let (chinese, english) = duration(wait.as_secs());
                self.say(format!("等待 {chinese}"), format!("wait {english}"))
            }
            StepAction::WaitUntil { day, time } => {
                let time = time.format("%H:%M");
                let day = day.map(|day| self.weekday(day)).unwrap_or_default();
                self.say(format!("等到{day} {time}"), format!("wait until {day} {time}"))
            }
            StepAction::WaitFor { signal, .. } => {
                let signal = match signal {
                    Signal::Touchpoint(id) => self.touchpoint(id),
                    Signal::Event(kind) => self.event(kind),
                    Signal::Done => self.say("提醒完成", "the prompt to be done"),
                };
                self.say(format!("等待 {signal}"), format!("wait for {signal}"))
            }
            StepAction::Nudge { say, .. } => self.say(format!("触达 {say}"), format!("nudge {say}")),
            StepAction::Prompt { title, .. } => {
                self.say(format!("提醒 {}", title.source()), format!("prompt {}", title.source()))
            }
            StepAction::Tag { .. } => self.say("打标签", "tag"),
            StepAction::Event { kind, .. } => self.say(format!("产生事件 {kind}"), format!("event {kind}")),
            StepAction::Branch { .. } => self.say("分支", "branch"),
            StepAction::Stop { reason } => self.say(format!("结束:{reason}"), format!("stop: {reason}")),
        }
    }

    fn weekday(&self, day: Weekday) -> String {
        let chinese = match day {
            Weekday::Mon => "周一",
            Weekday::Tue => "周二",
            Weekday::Wed => "周三",
            Weekday::Thu => "周四",
            Weekday::Fri => "周五",
            Weekday::Sat => "周六",
            Weekday::Sun => "周日",
        };
        self.say(chinese, day.to_string())
    }
}

/// What an event type of Touchpoint's own is called in Chinese.
pub(super) fn event_in_chinese(kind: &str) -> Option<&'static str> {
    EVENTS.iter().find(|(event, _)| *event == kind).map(|(_, chinese)| *chinese)
}

/// A duration in its largest whole unit.
fn duration(seconds: u64) -> (String, String) {
    for (unit, chinese, english) in [(86_400, "天", "d"), (3_600, "小时", "h"), (60, "分钟", "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            let count = seconds / unit;
            return (format!("{count} {chinese}"), format!("{count} {english}"));
        }
    }
    (format!("{seconds} 秒"), format!("{seconds} s"))
}
