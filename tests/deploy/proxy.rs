//! The nginx sample, first by nginx's own check, then with requests through it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{program, run, said, succeeds, text_of};

/// The sample with paths of a folder: listeners and the server behind are unix sockets there.
struct Proxy {
    nginx: PathBuf,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Proxy {
    fn prepared() -> Option<Self> {
        let (nginx, openssl) = (program("nginx")?, program("openssl")?);
        let folder = tempfile::tempdir().unwrap();
        // nginx gives its work to somebody who is not root; that one must get in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let dir = folder.path().display().to_string();
        succeeds(Command::new(openssl).current_dir(folder.path()).args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=touchpoint.example.com",
            "-keyout",
            "privkey.pem",
            "-out",
            "fullchain.pem",
        ]));
        let mut sample = text_of("deploy/nginx.conf");
        for (written, here) in [
            ("server 127.0.0.1:8080;", format!("server unix:{dir}/app.sock;")),
            ("listen 80;", format!("listen unix:{dir}/plain.sock;")),
            ("listen 443 ssl http2;", format!("listen unix:{dir}/tls.sock ssl http2;")),
            ("/etc/ssl/touchpoint/", format!("{dir}/")),
        ] {
            assert!(sample.contains(written), "{written} is not in the sample any more");
            sample = sample.replace(written, &here);
        }
        let around = format!(
            "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\n\
             fastcgi_temp_path {dir}/fastcgi;\nuwsgi_temp_path {dir}/uwsgi;\nscgi_temp_path {dir}/scgi;\n\
             include {dir}/touchpoint.conf;\n}}\n"
        );
        fs::write(folder.path().join("touchpoint.conf"), sample).unwrap();
        fs::write(folder.path().join("nginx.conf"), around).unwrap();
        Some(Self { nginx, folder, child: None })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.nginx);
        command.arg("-p").arg(self.folder.path()).arg("-c").arg(self.folder.path().join("nginx.conf"));
        command.args(["-e", "stderr"]);
        command
    }

    fn started() -> Option<Self> {
        let mut proxy = Self::prepared()?;
        answer_everything(&proxy.folder.path().join("app.sock"));
        proxy.child = Some(proxy.command().stderr(Stdio::null()).spawn().unwrap());
        let begin = Instant::now();
        while UnixStream::connect(proxy.folder.path().join("tls.sock")).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "nginx does not listen");
            std::thread::yield_now();
        }
        Some(proxy)
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        let socket = self.folder.path().join("tls.sock");
        run(Command::new("curl").args(["-sk", "-i", "--max-time", "20", "--unix-socket"]).arg(socket).args(arguments))
    }

    fn status(&self, path: &str, body_bytes: usize) -> String {
        let body = self.folder.path().join("sent");
        fs::write(&body, vec![b'x'; body_bytes]).unwrap();
        let url = format!("https://touchpoint.example.com{path}");
        let data = format!("@{}", body.display());
        let output = self.curl(&[&url, "-H", "Expect:", "--data-binary", &data]);
        said(&output).split_whitespace().nth(1).unwrap_or_default().to_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// A server that answers every request with its head.
fn answer_everything(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    fs::set_permissions(socket, fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let (mut seen, mut piece) = (Vec::new(), [0_u8; 65536]);
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    seen.extend_from_slice(&piece[..length]);
                    let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let wanted = head.split_once("content-length: ").map_or(0, |(_, rest)| {
                        rest.lines().next().and_then(|number| number.trim().parse::<usize>().ok()).unwrap_or(0)
                    });
                    if body.len() < wanted {
                        continue;
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                    seen.clear();
                }
            });
        }
    });
}

#[test]
fn nginx_has_nothing_to_say_about_the_sample() {
    let Some(proxy) = Proxy::prepared() else { return };
    let output = run(proxy.command().arg("-t"));
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    // From 1.25.1 on nginx would rather read `http2 on;`, which older ones do not know.
    let complaints: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("[warn]") || line.contains("[emerg]"))
        .filter(|line| !line.contains("\"listen ... http2\" directive is deprecated"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn callbacks_of_up_to_1_mib_and_batches_of_up_to_10_mib_come_through() {
    let (Some(_), Some(proxy)) = (program("curl"), Proxy::started()) else { return };
    const MIB: usize = 1024 * 1024;
    for (path, bytes, status) in [
        ("/wecom/callback/assistant", MIB, "200"),
        ("/wecom/callback/assistant", MIB + 1, "413"),
        ("/v1/events", 10 * MIB, "200"),
        ("/v1/events", 12 * MIB, "413"),
        ("/hooks/shop", MIB + 1, "413"),
    ] {
        assert_eq!(proxy.status(path, bytes), status, "{path} with {bytes} bytes");
    }
}

#[test]
fn what_is_for_the_inside_is_closed_to_the_outside() {
    let (Some(_), Some(proxy)) = (program("curl"), Proxy::started()) else { return };
    for path in ["/metrics", "/v1/clock", "/control", "/control/customers"] {
        assert_eq!(proxy.status(path, 0), "404", "{path}");
    }
    for path in ["/healthz", "/readyz", "/v1/customers/wm1/why"] {
        assert_eq!(proxy.status(path, 0), "200", "{path}");
    }
}

#[test]
fn the_server_behind_learns_host_scheme_and_address() {
    let (Some(_), Some(proxy)) = (program("curl"), Proxy::started()) else { return };
    let told = said(&proxy.curl(&["https://touchpoint.example.com/healthz"])).to_ascii_lowercase();
    for line in ["http/2 200", "host: touchpoint.example.com", "x-forwarded-proto: https", "strict-transport-security:"]
    {
        assert!(told.contains(line), "{line} is missing:\n{told}");
    }
    assert!(told.contains("x-forwarded-for:"), "{told}");
}

#[test]
fn plain_http_is_sent_to_https() {
    let (Some(curl), Some(proxy)) = (program("curl"), Proxy::started()) else { return };
    let told = succeeds(
        Command::new(curl)
            .args(["-si", "--unix-socket"])
            .arg(proxy.folder.path().join("plain.sock"))
            .arg("http://touchpoint.example.com/healthz?a=b"),
    );
    assert!(told.contains("Location: https://touchpoint.example.com/healthz?a=b"), "{told}");
}
