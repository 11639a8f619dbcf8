//! The name of this process among the living.

use std::fs::File;
use std::path::PathBuf;

/// How many processes of one configuration may live on one host without names of their own.
const MOST_PER_HOST: u32 = 64;

/// A process's name; two on one host differ. The lock behind it lives as long as this value.
#[derive(Debug)]
pub struct Node {
    /// Name and random boot id: what leases are taken under.
    pub owner: String,
    _lock: Option<File>,
}

impl Node {
    /// Takes the configured name, or the host's name with the first free number.
    #[must_use]
    pub fn claim(configured: Option<&str>) -> Self {
        let (name, lock) = match configured {
            Some(name) => (name.to_owned(), None),
            None => numbered_host_name(),
        };
        // A process that comes back under its old name is another owner: its old leases are not its own any more.
        let boot = uuid::Uuid::now_v7().simple().to_string();
        Self { owner: format!("{name}/{boot}"), _lock: lock }
    }

    /// Without the boot id.
    #[must_use]
    pub fn name(&self) -> &str {
        name_of(&self.owner)
    }
}

/// The name of an owner, without its boot id.
pub(super) fn name_of(owner: &str) -> &str {
    owner.rsplit_once('/').map_or(owner, |(name, _)| name)
}

fn numbered_host_name() -> (String, Option<File>) {
    let host = host_name();
    for number in 1..=MOST_PER_HOST {
        let path: PathBuf = std::env::temp_dir().join(format!("touchpoint-{host}-{number}.lock"));
        let Ok(file) = File::create(&path) else { continue };
        if file.try_lock().is_ok() {
            return (format!("{host}-{number}"), Some(file));
        }
    }
    (host, None)
}

fn host_name() -> String {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let name =
        read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).or_else(|| std::env::var("HOSTNAME").ok());
    let name: String =
        name.unwrap_or_default().trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    if name.is_empty() { "touchpoint".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_on_one_host_have_different_names() {
        let (first, second) = (Node::claim(None), Node::claim(None));
        assert_ne!(first.owner, second.owner);
        let name = |node: &Node| node.owner.split('/').next().map(str::to_owned);
        assert_ne!(name(&first), name(&second));
    }

    #[test]
    fn a_process_that_restarts_under_its_name_is_another_owner() {
        assert_ne!(Node::claim(Some("shop-1")).owner, Node::claim(Some("shop-1")).owner);
    }
}
