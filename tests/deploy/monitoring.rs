//! Dashboard, alert rules and scrape configuration: valid, and about metrics that the server has.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use touchpoint::telemetry::metric_names;

use super::{program, root, succeeds, text_of};

/// What only a later hour or an unusual day counts; everything else appears within seconds.
const RARE: [&str; 4] = [
    "touchpoint_timer_lateness_seconds",
    "touchpoint_wecom_malformed_total",
    "touchpoint_wecom_pauses_total",
    "touchpoint_wecom_secret_refused",
];
/// What a test without a WeCom cannot have.
const OF_WECOM: [&str; 2] = ["touchpoint_wecom_call_seconds", "touchpoint_wecom_paused"];
const PATIENCE: Duration = Duration::from_secs(30);

/// The metrics that a text speaks of. A histogram is also known by the names of its parts.
fn names(text: &str) -> BTreeSet<String> {
    let known: BTreeSet<&str> = metric_names().collect();
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let metrics = words.filter(|word| word.starts_with("touchpoint_"));
    let whole = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
        parts.filter(|name| known.contains(name)).unwrap_or(word).to_owned()
    };
    metrics.map(whole).collect()
}

/// Every expression of the dashboard.
fn expressions(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == "expr" || name == "definition" => vec![text.clone()],
                other => expressions(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The labels of each metric as README.md lists them.
fn labels_of_the_readme() -> BTreeMap<String, BTreeSet<String>> {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in text_of("README.md").lines().filter(|line| line.starts_with("| `touchpoint_")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        for metric in quoted(cells[0]) {
            labels.entry(metric).or_default().extend(quoted(cells[1]));
        }
    }
    labels
}

/// The metrics that an expression selects, each with the labels by which it does.
fn selected(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("touchpoint_") {
        let rest = expression.get(at..).unwrap_or_default();
        let name: String = rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        let behind = rest.strip_prefix(name.as_str()).unwrap_or_default();
        let matchers = behind.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or("", |(inner, _)| inner);
        // A comma may stand in a value, but no `="` or `=~"` follows it there.
        let labels = matchers.split(',').filter_map(|matcher| matcher.split_once(['=', '!']));
        found.push((name, labels.map(|(label, _)| label.trim().to_owned()).collect()));
    }
    found
}

fn assert_labels_exist(file: &str, expression: &str) {
    let labels = labels_of_the_readme();
    for (metric, by) in selected(expression) {
        let metric = names(&metric).pop_first().unwrap();
        let its = labels.get(&metric).unwrap_or_else(|| panic!("{metric} is not in the table of README.md"));
        for label in by {
            assert!(
                its.contains(&label) || ["instance", "job", "le"].contains(&label.as_str()),
                "{file}: {metric} has no label {label}: {expression}"
            );
        }
    }
}

#[test]
fn every_metric_is_documented_and_alerts_and_dashboard_use_no_other() {
    let known: BTreeSet<String> = metric_names().map(str::to_owned).collect();
    assert_eq!(names(&text_of("README.md")), known);
    let dashboard: Value = serde_json::from_str(&text_of("deploy/grafana.json")).unwrap();
    let mut shown = BTreeSet::new();
    for expression in expressions(&dashboard) {
        assert_labels_exist("grafana.json", &expression);
        shown.extend(names(&expression));
    }
    assert_eq!(shown, known, "the dashboard shows everything that is measured");
    let alerts = text_of("deploy/alerts.yaml");
    assert!(names(&alerts).is_subset(&known), "{:?}", names(&alerts).difference(&known));
    assert_labels_exist("alerts.yaml", &alerts);
}

#[test]
fn the_dashboard_can_be_read_by_grafana() {
    let dashboard: Value = serde_json::from_str(&text_of("deploy/grafana.json")).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 36));
    assert!(dashboard["id"].is_null(), "Grafana gives the number");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "instance"]);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another panel's");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is wider than the page");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies over another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title} is not explained");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} asks nothing");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

#[test]
fn prometheus_accepts_alerts_and_configuration() {
    let Some(promtool) = program("promtool") else { return };
    succeeds(Command::new(&promtool).args(["check", "config", "prometheus.yml"]).current_dir(root().join("deploy")));
    let told = succeeds(Command::new(&promtool).args(["check", "rules"]).arg(root().join("deploy/alerts.yaml")));
    assert!(told.contains("rules found"), "{told}");
}

#[test]
fn each_alert_goes_off_when_it_should_and_not_otherwise() {
    let Some(promtool) = program("promtool") else { return };
    succeeds(Command::new(&promtool).args(["test", "rules"]).arg(root().join("tests/deploy/alerts.test.yaml")));
    let tests = text_of("tests/deploy/alerts.test.yaml");
    let alerts = text_of("deploy/alerts.yaml");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} is not tried");
    }
}

#[test]
fn prometheus_understands_every_expression_of_the_dashboard() {
    let Some(promtool) = program("promtool") else { return };
    let dashboard: Value = serde_json::from_str(&text_of("deploy/grafana.json")).unwrap();
    let rules: String = expressions(&dashboard)
        .iter()
        .filter(|expression| !expression.starts_with("label_values"))
        .enumerate()
        .map(|(number, expression)| {
            let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
            format!("      - {{ record: \"panel:{number}\", expr: {} }}\n", serde_json::to_string(&expression).unwrap())
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panels.yaml");
    fs::write(&file, format!("groups:\n  - name: panels\n    rules:\n{rules}")).unwrap();
    succeeds(Command::new(&promtool).args(["check", "rules"]).arg(&file));
}

/// A server over the sample company, whose WeCom nobody reaches.
struct Server {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        fs::create_dir_all(config.join("playbook")).unwrap();
        for entry in fs::read_dir(root().join("config/playbook")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, config.join("playbook").join(path.file_name().unwrap())).unwrap();
        }
        let settings = text_of("config/touchpoint.yaml")
            .replace("0.0.0.0:8080", "127.0.0.1:0")
            .replace("https://qyapi.weixin.qq.com", "http://127.0.0.1:9");
        assert!(settings.contains("127.0.0.1:0") && settings.contains("127.0.0.1:9"), "{settings}");
        fs::write(config.join("touchpoint.yaml"), settings).unwrap();
        fs::copy(root().join(".env.example"), config.join(".env")).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_touchpoint"))
            .args(["--config", "config", "serve"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, address: String::new(), folder };
        server.address = server.until("listens", |server| {
            let log = server.log();
            Some(log.split_once("touchpoint listens on http://")?.1.split_once('\n')?.0.to_owned())
        });
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Looks again and again; what another process does cannot be waited for otherwise.
    fn until<T>(&self, what: impl std::fmt::Debug, look: impl Fn(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what:?}\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn asks(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn metrics(&self) -> BTreeSet<String> {
        let answer = self.asks("GET", "/metrics", "", "");
        let lines = answer.lines().filter(|line| line.starts_with("touchpoint_"));
        lines.flat_map(|line| names(line.split(['{', ' ']).next().unwrap())).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In order, so that its private Redis ends with it.
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(told.is_ok() && self.child.wait().is_ok() || std::thread::panicking());
    }
}

#[test]
fn a_running_server_has_every_metric_and_no_other() {
    let server = Server::start();
    let token = text_of(".env.example")
        .lines()
        .find_map(|line| line.strip_prefix("SHOP_TOKEN=").map(|token| token.trim_matches('"').to_owned()))
        .unwrap();
    server.asks("POST", "/wecom/callback/assistant?msg_signature=0&timestamp=0&nonce=0", "", "<xml></xml>");
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    let order = r#"{"specversion":"1.0","source":"shop","id":"1","type":"order.paid","subject":"wmA","data":{"order_id":"1","amount":"9"}}"#;
    let answer = server.asks("POST", "/v1/events", &headers, order);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let pid = server.child.id().to_string();
    let file = server.folder.path().join("config/playbook/messages.yaml");
    fs::write(&file, fs::read_to_string(&file).unwrap() + "\n# changed\n").unwrap();
    succeeds(Command::new("kill").args(["-HUP", &pid]));
    let known: BTreeSet<String> = metric_names().map(str::to_owned).collect();
    let rare: BTreeSet<String> = RARE.iter().chain(&OF_WECOM).map(|name| (*name).to_owned()).collect();
    let missing = RefCell::new(Vec::new());
    let scraped = server.until(&missing, |server| {
        let scraped = server.metrics();
        *missing.borrow_mut() = known.difference(&scraped).filter(|name| !rare.contains(*name)).cloned().collect();
        missing.borrow().is_empty().then_some(scraped)
    });
    assert!(scraped.is_subset(&known), "{:?}", scraped.difference(&known));
}
