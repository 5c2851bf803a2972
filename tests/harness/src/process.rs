//! Child processes that never outlive this one.
//!
//! In: a program, its arguments and a log file. Out: a handle that knows early exits, passes on
//! signals and kills on drop.
//! **Invariant:** a process is not only waited for by its port: an early exit is an error that
//! shows the end of its log.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

const TAIL_LINES: usize = 20;

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` (made by [`command`]) with both outputs appended to `log`.
    pub(crate) fn spawn(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let errors = output.try_clone().context("failed to share the log")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        own_process_group(&mut command);
        let child =
            spawn_on_lasting_thread(command).with_context(|| format!("failed to start {name}"))?;
        Ok(Self { name: name.to_owned(), child: Mutex::new(child), log: log.to_owned() })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child().id()
    }

    /// The exit status, once it has ended.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Fails with the end of the log once the process has ended.
    pub(crate) fn ensure_running(&self) -> anyhow::Result<()> {
        if let Some(status) = self.exit_status() {
            bail!("{} ended with {status}; the end of its log:\n{}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// Sends a signal; nothing happens when the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let mut child = self.child();
        // The lock and this look keep the id from being another process' by now.
        if child.try_wait().context("failed to look at the process")?.is_some() {
            return Ok(());
        }
        rustix::process::kill_process(Pid::from_child(&child), signal)
            .with_context(|| format!("failed to send {signal:?} to {}", self.name))
    }

    /// Sends a signal to the process and all that it has started in its group.
    pub(crate) fn signal_group(&self, signal: Signal) -> anyhow::Result<()> {
        let mut child = self.child();
        // The lock and this look keep the id from being another process' by now.
        if child.try_wait().context("failed to look at the process")?.is_some() {
            return Ok(());
        }
        rustix::process::kill_process_group(Pid::from_child(&child), signal)
            .with_context(|| format!("failed to send {signal:?} to {} and its group", self.name))
    }

    /// Kills the process and waits for its end.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits at most `bound` for the process to end by itself.
    pub(crate) async fn ended(&self, bound: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        crate::wait::wait_for(&what, bound, async || self.exit_status()).await
    }

    /// Everything written so far.
    pub(crate) fn log_text(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command for `program` that the kernel kills when this process ends (on Linux).
pub(crate) fn command(program: &Path) -> Command {
    if cfg!(target_os = "linux") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Locks a file against other processes; released when the file is dropped.
pub(crate) fn lock_file(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}

/// Out of the terminal's group: Ctrl-C reaches this process only, which ends the others in order.
fn own_process_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The kernel sends the parent-death signal when the spawning *thread* ends (see prctl(2)), so all
/// children are spawned by one thread that lives as long as the process.
fn spawn_on_lasting_thread(command: Command) -> anyhow::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in jobs {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, reply))
        .ok()
        .context("the spawning thread has ended")?;
    answer
        .recv()
        .context("the spawning thread gave no answer")?
        .context("is the program there, and setpriv (util-linux) on Linux?")
}
