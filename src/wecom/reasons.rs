//! Why an effect failed or waits: short fixed texts, so that they can be counted and put into words.
//!
//! `decide::reasons` gives each its words for people. What WeCom said beside it travels apart, as code and message.

// Why an effect failed.

/// The welcome's 20 seconds were over.
pub const TOO_LATE: &str = "too late";
/// WeCom refused it with a code that has no reason of its own here; the code and the message say more.
pub const REFUSED: &str = "wecom refused";
/// A text or a field is longer than WeCom takes; the message names bytes and limit. Nothing is ever cut.
pub const TEXT_TOO_LONG: &str = "text too long";
/// More attachments, lines, buttons or recipients than WeCom takes; the message names number and limit.
pub const TOO_MANY_PARTS: &str = "too many parts";
/// Neither a text nor an attachment.
pub const NOTHING_TO_SAY: &str = "nothing to say";
/// Every try ended without a usable answer; a repeat would have been harmless, so nothing is known to have happened.
pub const DID_NOT_ANSWER: &str = "wecom did not answer";
/// WeCom said at every try that it was busy.
pub const BUSY: &str = "wecom busy";
/// A message may or may not have gone out: a try ended without an answer and it can no longer be found out.
pub const OUTCOME_UNKNOWN: &str = "outcome unknown";
/// WeCom does not know the tag's id, or it is not this app's to use; its name must be looked up again.
pub const TAG_UNKNOWN: &str = "tag unknown to wecom";
/// The customer already has as many tags as one may have.
pub const TAGS_FULL: &str = "customer has too many tags";
/// There is no relation between the staff member and the customer (any more).
pub const NOT_A_CONTACT: &str = "not a contact";
/// The staff member has left, is unknown, or is outside the app's visible range.
pub const STAFF_UNREACHABLE: &str = "staff not reachable";
/// The staff member lacks a licence.
pub const STAFF_UNLICENSED: &str = "staff without licence";
/// WeCom takes the content for spam.
pub const CONTENT_BLOCKED: &str = "content blocked";
/// None of a mass send's customers can receive it.
pub const NO_RECIPIENT: &str = "no customer can receive it";
/// WeCom does not know the mass send.
pub const MASS_SEND_UNKNOWN: &str = "mass send unknown to wecom";
/// Somebody stopped the mass send.
pub const MASS_SEND_CANCELLED: &str = "mass send cancelled";
/// A mass send has had all its reminders for today.
pub const REMINDED_TOO_OFTEN: &str = "reminded too often";
/// The code that lets a card be changed is used up or older than 72 hours.
pub const CARD_CLOSED: &str = "card can no longer be changed";
/// No app's `serves` names `contacts`.
pub const NO_APP_FOR_CONTACTS: &str = "no app serves contacts";
/// No app's `serves` names `messages`.
pub const NO_APP_FOR_MESSAGES: &str = "no app serves messages";
/// No app's `serves` names `messages` or `directory`.
pub const NO_APP_FOR_DIRECTORY: &str = "no app serves directory";

// Why an effect waits. `BUSY` and `DID_NOT_ANSWER` can be such reasons too.

/// A family or a call is paused; `/readyz` names it and the fix.
pub const PAUSED: &str = "wecom paused";
/// WeCom cannot be reached; nothing was attempted.
pub const UNREACHABLE: &str = "wecom cannot be reached";
/// A quota of WeCom's is used up for now.
pub const QUOTA: &str = "wecom quota";
/// WeCom refused the app's secret; it is not asked again with it for an hour.
pub const SECRET_REFUSED: &str = "app secret refused";
/// Another process is getting a new access token.
pub const TOKEN_AWAITED: &str = "access token awaited";
/// Another write to the same record is under way.
pub const RECORD_BUSY: &str = "another write is under way";
/// Another app is sending its welcome right now.
pub const WELCOME_ELSEWHERE: &str = "another app is welcoming";
/// WeCom is still distributing the mass send.
pub const DISTRIBUTING: &str = "mass send being distributed";
/// A mass send whose making was not answered was not made after all.
pub const MASS_SEND_NOT_MADE: &str = "mass send not made";
/// Redis, which holds what all processes share, did not answer.
pub const REDIS_AWAY: &str = "redis did not answer";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::reasons::in_words;
    use crate::settings::Locale;

    #[test]
    fn whatever_ends_a_delivery_has_words_for_people() {
        for reason in [
            TOO_LATE,
            REFUSED,
            TEXT_TOO_LONG,
            TOO_MANY_PARTS,
            NOTHING_TO_SAY,
            DID_NOT_ANSWER,
            BUSY,
            OUTCOME_UNKNOWN,
            NOT_A_CONTACT,
            STAFF_UNREACHABLE,
            STAFF_UNLICENSED,
            CONTENT_BLOCKED,
            NO_RECIPIENT,
            MASS_SEND_UNKNOWN,
            MASS_SEND_CANCELLED,
            NO_APP_FOR_CONTACTS,
            NO_APP_FOR_MESSAGES,
            PAUSED,
            UNREACHABLE,
            QUOTA,
            SECRET_REFUSED,
        ] {
            assert_ne!(in_words(reason, Locale::ZhCn), reason);
            assert_ne!(in_words(reason, Locale::En), reason);
        }
    }
}
