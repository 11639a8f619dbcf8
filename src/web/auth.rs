//! Who may call the API: bearer tokens, compared by hash in constant time, named in logs.

use std::collections::BTreeMap;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::problem;

/// The tokens of `api.tokens`, by hash.
#[derive(Clone)]
pub struct ApiTokens(Vec<(String, [u8; 32])>);

impl ApiTokens {
    /// Keeps hashes only.
    #[must_use]
    pub fn new(tokens: &BTreeMap<String, SecretString>) -> Self {
        Self(tokens.iter().map(|(name, token)| (name.clone(), hash(token.expose_secret()))).collect())
    }

    /// The name of the token that a request carries.
    ///
    /// # Errors
    /// When there is none that is known; answered with 401.
    pub fn name_of(&self, request: &HttpRequest) -> Result<&str, Unauthorized> {
        let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(token) = sent.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(Unauthorized(
                "send `Authorization: Bearer TOKEN` with a token of `api.tokens` in touchpoint.yaml",
            ));
        };
        let sent = hash(token.trim());
        // Every token is compared, so that the time tells nothing.
        let mut found = None;
        for (name, known) in &self.0 {
            if bool::from(known.ct_eq(&sent)) {
                found = Some(name.as_str());
            }
        }
        found.ok_or(Unauthorized("this token is not one of `api.tokens` in touchpoint.yaml"))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// A request without a token that is known; what to send instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unauthorized(&'static str);

impl From<Unauthorized> for HttpResponse {
    fn from(refused: Unauthorized) -> Self {
        let mut response = problem(StatusCode::UNAUTHORIZED, refused.0);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        response
    }
}
