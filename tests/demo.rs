//! `touchpoint demo` and `touchpoint sandbox`, as whoever calls them meets them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

/// Nothing here takes so long; whatever does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn touchpoint(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchpoint"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// A command that runs until it is told to stop, with what it prints.
struct Running {
    child: Child,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = touchpoint(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, printed: Vec::new() }
    }

    /// Reads on until a line holds these words.
    fn until(&mut self, words: &str) -> &str {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{words:?} never came: {:?}", self.printed));
            self.printed.push(line);
            let line = self.printed.last().unwrap();
            if line.contains(words) {
                return self.printed.last().unwrap();
            }
        }
    }

    /// The first word of a printed line that begins like this.
    fn word(&self, start: &str) -> String {
        let words = self.printed.iter().flat_map(|line| line.split_whitespace());
        words.into_iter().find(|word| word.starts_with(start)).unwrap().to_owned()
    }

    fn signal(&self, name: &str) {
        let told = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Stops in order.
    fn stop(mut self, signal: &str) {
        self.signal(signal);
        // Its output ends when it does.
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.printed.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not stop: {:?}", self.printed),
            }
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    /// A test that failed leaves nobody behind.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal("TERM");
            drop(self.child.wait());
        }
    }
}

/// Ids of processes whose command line names the folder.
fn processes_over(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let ids = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ids = ids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    ids.filter(|id| {
        fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(folder))
    })
    .collect()
}

/// The words of a printed command, as a shell reads those that have only single quotes.
fn shell_words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let quoted = command.split('\'').enumerate().peekable();
    let mut open = String::new();
    for (place, part) in quoted {
        if place % 2 == 1 {
            open.push_str(part);
            continue;
        }
        for (nth, word) in part.split(' ').enumerate() {
            if nth > 0 && !open.is_empty() {
                words.push(std::mem::take(&mut open));
            }
            open.push_str(word);
        }
    }
    words.extend(Some(open).filter(|open| !open.is_empty()));
    words
}

/// Does what a printed `curl` command would do, on machines that have no curl too.
fn curl(command: &str) -> String {
    let words = shell_words(command);
    assert_eq!(words[..2], ["curl", "-s"], "{command}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = words.iter().position(|word| word == "-d").map(|place| words[place + 1].clone());
    let mut request = match body {
        Some(body) => client.post(&words[2]).body(body),
        None => client.get(&words[2]),
    };
    for header in words.iter().zip(&words[1..]).filter(|(option, _)| *option == "-H").map(|(_, header)| header) {
        let (name, value) = header.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{command}: {status} {text}");
        text
    })
}

fn shell(command: &str) -> (Option<i32>, String) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_month_of_the_sample_company_goes_as_the_playbook_promises() {
    let output = touchpoint(&["demo", "--script"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for heading in ["Events in", "Tags", "Welcomes", "Nudges", "Prompts", "Held back", "Checks"] {
        assert!(text.contains(heading), "{heading} is missing:\n{text}");
    }
    assert!(text.contains("✓ golden table") && !text.contains('✗'), "{text}");
}

#[test]
fn a_month_under_other_rules_does_not_pass_for_the_one_that_was_promised() {
    let config = tempfile::tempdir().unwrap();
    let rules = config.path().join("playbook");
    fs::create_dir(&rules).unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/playbook")).unwrap() {
        let path = entry.unwrap().path();
        let text =
            fs::read_to_string(&path).unwrap().replace("where: event.amount >= 2000", "where: event.amount >= 300");
        fs::write(rules.join(path.file_name().unwrap()), text).unwrap();
    }
    let output = touchpoint(&["demo", "--script", "--config", config.path().to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ golden table") && text.contains("tag + 触点/大单: 20 expected, 62 found"), "{text}");
}

#[test]
fn the_five_things_to_try_work_as_they_are_printed() {
    let mut demo = Running::start(&["demo", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0"]);
    demo.until("Ctrl-C");
    let commands: Vec<String> =
        demo.printed.iter().filter_map(|line| line.strip_prefix("   ")).map(str::to_owned).collect();
    let [scan, order, week, why, told, spoil, check, reload, mend] = &commands[..] else { panic!("{commands:#?}") };
    let rules = demo.word("/");
    let folder = Path::new(&rules).parent().unwrap().to_owned();
    assert!(!processes_over(&folder).is_empty(), "the private Redis runs over {}", folder.display());

    // The server's clock answers when everything due is done.
    let sandbox = shell_words(scan)[2].split("/control").next().unwrap().to_owned();
    let (server, bearer) = (shell_words(order)[2].replace("/events", "/clock"), shell_words(order)[4].clone());
    let receipts = || {
        curl(&format!("curl -s {server} -H '{bearer}' -d '{{\"advance\":\"1s\"}}'"));
        curl(&format!("curl -s {sandbox}/control/receipts"))
    };
    curl(scan);
    let seen = receipts();
    assert!(seen.contains("唐娜您好，我是拾衣的李丽") && seen.contains("触点/门店扫码"), "{seen}");
    assert!(curl(order).contains("accepted"));
    let seen = receipts();
    assert!(seen.contains("触点/大单") && !seen.contains("谢谢您的第一单"), "{seen}");
    curl(week);
    let seen = receipts();
    assert!(seen.contains("谢谢您的第一单") && seen.contains("本周新到的几件"), "{seen}");

    assert!(curl(why).contains("首单关怀"));
    let (code, text) = shell(told);
    assert!(code == Some(0) && text.contains("首单关怀"), "{text}");

    assert_eq!(shell(spoil).0, Some(0));
    let (code, text) = shell(check);
    assert!(code == Some(1) && text.contains("did you mean `customer`?"), "{text}");
    let (hang_up, ready) = reload.split_once("; sleep 1; ").unwrap();
    assert_eq!(shell(hang_up).0, Some(0));
    demo.until("the reload is refused");
    let ready: Value = serde_json::from_str(&curl(ready)).unwrap();
    assert!(ready["degraded"][0].as_str().unwrap().contains("unknown name `custmer`"), "{ready}");
    assert_eq!(shell(mend).0, Some(0));
    demo.until("the changed rules are in force");

    demo.stop("INT");
    assert!(!folder.exists());
    assert_eq!(processes_over(&folder), Vec::<String>::new());
}

#[test]
fn the_sandbox_alone_prints_settings_with_which_a_server_can_call_it() {
    let mut sandbox = Running::start(&["sandbox", "--callback", "http://127.0.0.1:1/wecom/callback/assistant"]);
    sandbox.until("Ctrl-C");
    let setting = |name: &str| {
        let mut lines = sandbox.printed.iter().map(|line| line.trim());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap().to_owned()
    };
    let (base, corp, secret) = (setting("api_base"), setting("corp_id"), setting("secret"));
    assert_eq!(base, sandbox.word("http://"));
    let token = curl(&format!("curl -s {base}/cgi-bin/gettoken?corpid={corp}&corpsecret={secret}"));
    let token: Value = serde_json::from_str(&token).unwrap();
    assert_eq!(token["errcode"], 0, "{token}");
    let state: Value = serde_json::from_str(&curl(&format!("curl -s {base}/control/state"))).unwrap();
    assert!(state.to_string().contains("lili"), "{state}");
    sandbox.stop("TERM");
}
