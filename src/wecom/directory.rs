//! The address book (WeCom document 90196).

use serde_json::json;

use crate::domain::ids::UserId;

use super::answer::Calls;
use super::api::Api;

/// A member's name; none when WeCom does not tell it right now, for whatever reason.
pub(crate) async fn name_of(calls: &impl Calls, userid: &UserId) -> Option<String> {
    match calls.call(Api::GetUser, json!({ "userid": userid.as_str() })).await {
        Ok(answer) => answer.text("name").map(str::to_owned),
        Err(error) => {
            tracing::debug!(staff.id = %userid, "no name: {error:?}");
            None
        }
    }
}
