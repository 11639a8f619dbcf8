//! `touchpoint why CUSTOMER`: the chain from an event to a send or a non-send, in words.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::decide::why::About;
use crate::domain::ids::{DeliveryId, ExternalUserId, JourneyId};
use crate::playbook::load;
use crate::settings::{Locale, Settings};
use crate::store::Store;
use crate::web::api::{self, CustomerFile};

use super::check::Format;
use super::serve;

/// Whom and what it is about.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The customer's `external_userid`
    pub customer: ExternalUserId,
    /// Only this delivery
    #[arg(long, value_name = "ID")]
    pub delivery: Option<DeliveryId>,
    /// Only this journey
    #[arg(long, value_name = "ID")]
    pub journey: Option<JourneyId>,
    /// The language; default: server.locale
    #[arg(long, value_parser = ["zh-CN", "en"])]
    pub lang: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Tells why. Reads only; the server may be running or not.
///
/// Exit code 0 when there was something to tell, 1 when the customer is unknown or the rules are faulty, 3 when Redis
/// cannot be read.
#[must_use]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to whoever called it")]
pub fn why(config: &Path, options: &Options) -> ExitCode {
    let settings = match serve::load(config) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    serve::with_runtime(async {
        match told(&settings, options).await {
            Ok(Some(text)) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Ok(None) => {
                eprintln!("nothing is known of a customer {}", options.customer);
                ExitCode::from(1)
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(3)
            }
        }
    })
}

async fn told(settings: &Settings, options: &Options) -> anyhow::Result<Option<String>> {
    let loaded = load::load(&settings.config_dir, &settings.playbook_context());
    let playbook = loaded.map_err(|faults| anyhow::anyhow!("the rules are faulty:\n{faults}"))?.playbook;
    let store = Store::connect_beside(&settings.redis).await.context("connecting to Redis")?;
    let clock = Clock::with_offset_ms(store.clock_offset().await.context("reading the clock")?);
    let file = api::file_of(&store, &options.customer).await.context("reading the customer")?;
    store.close().await;
    let locale = match options.lang.as_deref() {
        Some("en") => Locale::En,
        Some(_) => Locale::ZhCn,
        None => settings.server.locale,
    };
    let about = About { delivery: options.delivery.clone(), journey: options.journey.clone() };
    let tell = |file: CustomerFile| {
        let story = file.why(&playbook, &about, locale, clock.now());
        match options.format {
            Format::Text => story.to_string(),
            Format::Json => {
                let mut json = serde_json::to_string_pretty(&story).expect("a story is made of texts");
                json.push('\n');
                json
            }
        }
    };
    Ok(file.map(tell))
}
