//! Touchpoint (触点): a self-hosted server between WeCom (企业微信) and a company's own systems.
//!
//! ARCHITECTURE.md has the map. The folders follow the way of an event.

pub mod cli;
pub mod clock;
pub mod decide;
pub mod domain;
pub mod playbook;
pub mod runtime;
pub mod sandbox;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod traces;
pub mod web;
pub mod wecom;
