//! The vocabulary of reasons: every reason a delivery can stand with, and how people read it.
//!
//! A reason is stored, counted and compared as the short English text of its constant; `in_words` is for people.

use crate::settings::Locale;

macro_rules! vocabulary {
    ($($(#[$doc:meta])* $name:ident = $reason:literal, $chinese:literal, $english:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $reason;)*

        /// Reason, Chinese, English.
        const WORDS: &[(&str, &str, &str)] = &[$(($reason, $chinese, $english)),*];
    };
}

vocabulary! {
    // What holds back for a time.

    /// Inside `quiet_hours`.
    QUIET_HOURS = "quiet hours", "处于免打扰时段", "it was quiet hours";
    /// One of `holidays`.
    HOLIDAY = "holiday", "当天是节假日", "it was a holiday";
    /// Outside `working_hours`.
    WORKING_HOURS = "working hours", "不在工作时间", "it was outside working hours";
    /// `customer_budget` is used up.
    CUSTOMER_BUDGET = "customer budget", "该客户的触达次数已用完", "the customer's budget was used up";
    /// `staff_budget` is used up.
    STAFF_BUDGET = "staff budget", "该员工的卡片次数已用完", "the staff member's budget was used up";
    /// WeCom lets a customer receive one mass send a day.
    DAY_QUOTA = "day quota", "企业微信的当日群发次数已用完", "WeCom's quota of mass sends for the day was used up";
    /// WeCom lets a customer receive as many mass sends a month as the month has days.
    MONTH_QUOTA = "month quota", "企业微信的当月群发次数已用完", "WeCom's quota of mass sends for the month was used up";
    /// No channel of `via` is open.
    NO_CHANNEL = "no channel open", "没有可用的渠道", "no channel was open";
    /// A family of WeCom's API is paused.
    PAUSED = "paused", "企业微信接口暂停,等待恢复", "WeCom's interface was paused";

    // On its way.

    /// Just wanted.
    WANTED = "wanted", "已生成,等待判定", "it was wanted and waited to be judged";
    /// The staff member has been asked to carry it.
    ASKED_STAFF = "asked staff", "已交给员工,等待排期", "a staff member was asked to carry it";
    /// The staff member's budget and hours let it through.
    GRANTED = "granted", "员工侧已放行", "the staff member's hours and budget let it through";
    /// WeCom took it.
    TAKEN = "taken by wecom", "企业微信已接收", "WeCom took it";
    /// A mass-send task was made; the sender has to confirm.
    WAITS_FOR_SENDER = "waits for the sender", "群发任务已创建,等待员工确认", "the mass send waits for its sender to confirm";
    /// The staff member put it off.
    SNOOZED = "snoozed", "员工选择稍后处理", "the staff member put it off";
    /// It came once more because it was past due.
    REMINDED = "reminded", "已过截止时间,再次提醒", "it was past due and came once more";
    /// The managers were told.
    ESCALATED = "escalated", "无人处理,已上报管理者", "nobody answered, and the managers were told";

    // Came to a good end.

    /// The staff member tapped 已发送.
    SENT_BY_STAFF = "sent by staff", "员工确认已发送", "the staff member sent it";
    /// The staff member tapped 已完成.
    DONE = "done", "员工已完成", "the staff member did it";
    /// The sender confirmed the mass send.
    CONFIRMED = "confirmed", "员工已确认群发", "the sender confirmed the mass send";

    // Failed.

    /// WeCom refused it.
    WECOM_REFUSED = "wecom refused", "企业微信拒绝", "WeCom refused it";
    /// Nobody knows what became of it.
    OUTCOME_UNKNOWN = "outcome unknown", "结果未知", "nobody knows what became of it";
    /// The customer had removed the sender.
    NO_FRIEND = "no longer a friend", "客户已不是好友", "the customer was no longer a friend";
    /// The customer had received too many mass sends.
    LIMIT_REACHED = "receive limit reached", "客户接收群发已达上限", "the customer had reached the limit of mass sends";
    /// The sender did not confirm within 7 days.
    NOT_CONFIRMED = "not confirmed", "员工七天内未确认群发", "the sender did not confirm within 7 days";
    /// Nobody tapped the card within 30 days.
    NOT_ANSWERED = "not answered", "卡片三十天内无人处理", "nobody tapped the card within 30 days";
    /// WeCom does not let the app write to that staff member.
    STAFF_UNREACHABLE = "staff not reachable", "该员工不在应用可见范围内", "the app cannot write to that staff member";
    /// A text or a field is longer than WeCom takes.
    TEXT_TOO_LONG = "text too long", "文案超过企业微信的长度上限", "its text is longer than WeCom takes";
    /// More attachments, lines or buttons than WeCom takes.
    TOO_MANY_PARTS = "too many parts", "附件或按钮超过企业微信的数量上限", "it has more parts than WeCom takes";
    /// Neither a text nor an attachment.
    NOTHING_TO_SAY = "nothing to say", "文案和附件都为空", "it has neither a text nor an attachment";
    /// No try brought an answer.
    DID_NOT_ANSWER = "wecom did not answer", "企业微信多次没有应答", "WeCom did not answer";
    /// WeCom was busy at every try.
    BUSY = "wecom busy", "企业微信多次返回繁忙", "WeCom was busy";
    /// WeCom cannot be reached.
    UNREACHABLE = "wecom cannot be reached", "无法连接企业微信", "WeCom cannot be reached";
    /// A family or a call is paused.
    WECOM_PAUSED = "wecom paused", "企业微信接口已暂停,需管理员处理", "WeCom's interface is paused until an admin acts";
    /// A quota of WeCom's is used up.
    WECOM_QUOTA = "wecom quota", "企业微信的接口次数已用完", "WeCom's quota of calls was used up";
    /// WeCom refused the app's secret.
    SECRET_REFUSED = "app secret refused", "企业微信不认可应用的 SECRET", "WeCom refused the app's secret";
    /// No relation between the staff member and the customer.
    NOT_A_CONTACT = "not a contact", "员工与客户不是好友", "the staff member and the customer are no contacts";
    /// The staff member lacks a licence.
    STAFF_UNLICENSED = "staff without licence", "该员工没有接口许可", "the staff member has no licence";
    /// WeCom takes the content for spam.
    CONTENT_BLOCKED = "content blocked", "内容被企业微信拦截", "WeCom blocked the content";
    /// None of a mass send's customers can receive it.
    NO_RECIPIENT = "no customer can receive it", "群发名单中没有可接收的客户", "none of the customers can receive it";
    /// WeCom does not know the mass send.
    MASS_SEND_UNKNOWN = "mass send unknown to wecom", "企业微信查不到该群发任务", "WeCom does not know the mass send";
    /// Somebody stopped the mass send.
    MASS_SEND_CANCELLED = "mass send cancelled", "群发任务已被取消", "the mass send was cancelled";
    /// No app is named that could carry it.
    NO_APP_FOR_CONTACTS = "no app serves contacts", "没有应用负责客户联系", "no app serves customer contact";
    /// No app is named that could carry it.
    NO_APP_FOR_MESSAGES = "no app serves messages", "没有应用负责应用消息", "no app of the company serves messages";
    /// The customer's record is not there any more, or cannot be read.
    RECORD_UNREADABLE = "record unreadable", "客户档案无法读取", "the customer's record cannot be read";
    /// The text cannot be made, or is too long for its channel.
    BAD_TEXT = "text cannot be made", "文案无法生成", "its text cannot be made";

    // Dropped.

    /// Past the moment until which it made sense.
    TOO_LATE = "too late", "已错过时限", "it was too late";
    /// Held longer than `hold`.
    HELD_TOO_LONG = "held too long", "等待超过上限", "it was held too long";
    /// No rule of `welcome` fits.
    NO_RULE = "no rule", "没有匹配的欢迎语规则", "no welcome rule fits";
    /// The adding came without a welcome code.
    NO_CODE = "no welcome code", "企业微信没有给欢迎语凭证", "WeCom gave no welcome code";
    /// Another app of the company greeted first.
    ANOTHER_APP = "another app greeted", "其他应用已发送欢迎语", "another app had already greeted";
    /// The customer wants no nudges.
    OPTED_OUT = "opted out", "客户已退订", "the customer has opted out";
    /// No staff member follows the customer any more.
    LOST = "lost", "客户已流失", "the customer is lost";
    /// The run that wanted it is over.
    RUN_ENDED = "run ended", "旅程已结束", "the run that wanted it had ended";
    /// The run reached its goal.
    GOAL = "goal", "旅程已达成目标", "the journey reached its goal";
    /// The run met its exit.
    EXIT = "exit", "满足旅程退出条件", "the journey's exit condition held";
    /// The run came to its last step.
    FINISHED = "finished", "旅程步骤已走完", "the journey's steps were over";
    /// A reload took the step away.
    STEP_REMOVED = "step removed", "规则更新后该步骤已不存在", "a change of the playbook removed the step";
    /// A reload took the journey away.
    JOURNEY_REMOVED = "journey removed", "规则更新后该旅程已不存在", "a change of the playbook removed the journey";
    /// Left alone on purpose.
    HELD_OUT = "held out", "属于对照组,不触达", "the customer is in the holdout and is left alone";
    /// The staff member tapped 不发送 or 不需要.
    DISMISSED = "dismissed", "员工选择不处理", "the staff member declined";
    /// Of several managers who were asked, another has done it.
    DONE_BY_ANOTHER = "done by another", "其他管理者已处理", "another manager has done it";
    /// It was taken back while it was on its way.
    WITHDRAWN = "withdrawn", "已撤回", "it was withdrawn";

    // Why one channel is closed.

    /// This channel cannot be used yet.
    NOT_SUPPORTED = "channel not supported yet", "暂不支持该渠道", "the channel is not supported yet";
    /// Nobody answers for the customer.
    NO_OWNER = "no owner", "客户没有归属员工", "nobody answers for the customer";
    /// The owner and the customer are no longer contacts.
    NOT_FOLLOWED = "not followed", "归属员工与客户已不是好友", "the owner and the customer are no longer contacts";
    /// The staff member or WeCom would not carry it by that channel.
    REFUSED = "refused", "该渠道被拒绝", "the channel refused it";

    // Why a journey was not entered.

    /// The customer went in.
    ENTERED = "entered", "已进入", "entered";
    /// A run is under way.
    ALREADY_INSIDE = "already inside", "旅程正在进行中", "a run was already under way";
    /// `again` is absent: once is enough.
    NEVER_AGAIN = "never again", "该旅程只进入一次", "this journey is entered only once";

    // customer side

    /// The message is on its way to WeCom.
    HANDED_OVER = "handed over", "已交给企业微信发送", "it was handed to WeCom";
    /// The staff member who had been asked does not follow the customer any more.
    OWNER_LEFT = "owner left", "原归属员工已不再跟进", "the staff member who was asked no longer follows the customer";
    /// No manager is named who could be asked.
    NO_MANAGER = "no manager", "没有设置管理者", "no manager is named";
    /// The welcome channel is open at an adding only.
    ONLY_AT_ADDING = "only at an adding", "只在添加时可用", "it is open at an adding only";
    /// Rules that answer each other would go on for ever.
    CHAIN_TOO_LONG = "chain too long", "触发链过长", "too many decisions lay behind it";
    /// The delivery has come to an end meanwhile.
    OVER = "not wanted any more", "已不再需要", "it was not wanted any more";
}

/// What a reason means, in words for an operations manager; the reason itself when it is not one of ours (the text of a
/// `stop` step, a guardrail's name with a value).
#[must_use]
pub fn in_words(reason: &str, locale: Locale) -> String {
    let known = WORDS.iter().find(|(known, _, _)| *known == reason);
    match (known, locale) {
        (Some((_, chinese, _)), Locale::ZhCn) => (*chinese).to_owned(),
        (Some((_, _, english)), Locale::En) => (*english).to_owned(),
        (None, _) => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_one_of_a_kind_and_reads_differently_in_each_language() {
        let distinct: BTreeSet<&str> = WORDS.iter().map(|(reason, _, _)| *reason).collect();
        assert_eq!(distinct.len(), WORDS.len());
        for (reason, chinese, english) in WORDS {
            assert_eq!(&in_words(reason, Locale::ZhCn), chinese);
            assert_eq!(&in_words(reason, Locale::En), english);
            assert!(chinese.chars().all(|letter| !letter.is_ascii_lowercase()), "{chinese} is not Chinese");
            assert!(english.is_ascii() && reason.is_ascii(), "{english}");
        }
    }

    #[test]
    fn a_reason_of_the_playbook_is_shown_as_it_was_written() {
        assert_eq!(in_words("客户已买", Locale::En), "客户已买");
    }
}
