//! `causeway media --ng` under a service manager: when it serves, that it lives, and that it ends.

use crate::daemon::free_port;
use crate::support::PATIENCE;

use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A relay in a process of its own.
struct Relay(Child);

impl Relay {
    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.0.id()).unwrap();
        kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All that the manager is told until this is in it.
fn hears(manager: &UnixDatagram, wanted: &str) -> String {
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut told, mut buffer) = (String::new(), [0; 4_096]);
    while !told.contains(wanted) {
        let length = manager.recv(&mut buffer);
        let length = length.unwrap_or_else(|why| panic!("{wanted}: {why} after {told}"));
        told.push_str(&String::from_utf8_lossy(&buffer[..length]));
        told.push('\n');
    }
    told
}

#[test]
fn a_relay_of_a_proxy_tells_the_service_manager_that_it_serves_lives_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let manager = UnixDatagram::bind(&place).unwrap();
    let (control, first) = (format!("127.0.0.1:{}", free_port()), free_port());
    let ports = format!("{first}-{}", first + 39);
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.args(["media", "--ng", &control, "--address", "127.0.0.1"]);
    command.args(["--ports", &ports, "--workers", "1", "--backend", "socket"]);
    command.env("NOTIFY_SOCKET", &place);
    // Half of it is how often it tells that it lives.
    command
        .env("WATCHDOG_USEC", "400000")
        .env_remove("WATCHDOG_PID");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut relay = Relay(command.spawn().unwrap());
    let told = hears(&manager, "READY=1");
    assert!(
        !told.contains("WATCHDOG=1"),
        "it does not serve yet: {told}"
    );
    hears(&manager, "WATCHDOG=1");
    hears(&manager, "WATCHDOG=1");
    relay.signal(Signal::TERM);
    let told = hears(&manager, "STOPPING=1");
    assert!(told.contains("ending the calls of the proxy"), "{told}");
    assert_eq!(relay.exit_code(), Some(0));
}
