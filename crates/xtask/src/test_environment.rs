//! Programs that the tests need: PostgreSQL, pgbouncer, Chromium, chromedriver, strace, Python, schemathesis, Node.js, OAuth
//! libraries, curl and jq. Each is found or installed; otherwise the run fails and names the command to install it. No test is skipped for a missing program.

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// A program that the tests need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    name: &'static str,
    /// The alternative names under which the program may be installed.
    programs: &'static [&'static str],
    /// The Debian packages that contain the program.
    packages: &'static [&'static str],
}

const REQUIREMENTS: [Requirement; 10] = [
    Requirement { name: "PostgreSQL", programs: &["initdb"], packages: &["postgresql"] },
    Requirement { name: "pgbouncer", programs: &["pgbouncer"], packages: &["pgbouncer"] },
    Requirement {
        name: "Chromium",
        programs: &["chromium", "chromium-browser", "google-chrome"],
        packages: &["chromium"],
    },
    Requirement { name: "chromedriver", programs: &["chromedriver"], packages: &["chromium-driver"] },
    Requirement { name: "strace", programs: &["strace"], packages: &["strace"] },
    Requirement { name: "Python", programs: &["python3"], packages: &["python3", "python3-venv"] },
    Requirement { name: "Node.js", programs: &["node", "nodejs"], packages: &["nodejs"] },
    Requirement { name: "npm", programs: &["npm"], packages: &["npm"] },
    // The scripts of the guides call the hub with these.
    Requirement { name: "curl", programs: &["curl"], packages: &["curl"] },
    Requirement { name: "jq", programs: &["jq"], packages: &["jq"] },
];

/// The way in which a required program is obtained.
#[derive(Debug, PartialEq, Eq)]
enum InstallPlan {
    Found(PathBuf),
    Install(&'static [&'static str]),
    Fail(String),
}

/// Decides how to obtain a program. `found` is its path, if it is installed.
fn plan_installation(need: Requirement, found: Option<PathBuf>, can_install: bool) -> InstallPlan {
    match found {
        Some(path) => InstallPlan::Found(path),
        None if can_install => InstallPlan::Install(need.packages),
        None => InstallPlan::Fail(format!(
            "{} is missing. Run: sudo apt-get install -y --no-install-recommends {}",
            need.name,
            need.packages.join(" ")
        )),
    }
}

/// Prints the installation plan for a machine that has none of the required programs.
pub(crate) fn print_plan() {
    for need in REQUIREMENTS {
        for can_install in [true, false] {
            println!("{} (root: {can_install}): {:?}", need.name, plan_installation(need, None, can_install));
        }
    }
}

fn find_program(need: Requirement) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    if let Ok(versions) = Path::new("/usr/lib/postgresql").read_dir() {
        let mut versions: Vec<PathBuf> = versions.flatten().map(|v| v.path().join("bin")).collect();
        versions.sort();
        folders.extend(versions.into_iter().rev());
    }
    // pgbouncer is a system daemon, whose folder is only in the path of root.
    folders.push("/usr/sbin".into());
    let candidates = folders.iter().flat_map(|folder| need.programs.iter().map(move |p| folder.join(p)));
    // Symbolic links are resolved: the other PostgreSQL programs are needed too, and they are next to `initdb` itself.
    candidates.filter(|path| path.is_file()).find_map(|path| path.canonicalize().ok())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// The environment of the test processes. Dropping it stops the database servers.
pub(crate) struct TestEnvironment {
    /// Environment variables for the test processes.
    pub(crate) environment: Vec<(&'static str, String)>,
    clusters: Vec<PrivatePostgres>,
}

impl TestEnvironment {
    /// Finds or installs the programs and starts the database servers, and prints each step.
    pub(crate) fn prepare() -> Result<Self> {
        let mut places = Vec::new();
        for need in REQUIREMENTS {
            places.push(ensure_installed(need)?);
        }
        let [initdb, pgbouncer, chromium, driver, strace, python, node, npm, _curl, _jq] = places.as_slice()
        else {
            bail!("expected one program for each of the ten requirements")
        };
        let schemathesis = ensure_python_packages(python, "schemathesis", SCHEMATHESIS)?.join("schemathesis");
        let oauth_python = ensure_python_packages(python, "oauth-python", OAUTH_PYTHON)?.join("python");
        let django_python = ensure_python_packages(python, "django-provider", DJANGO)?.join("python");
        let oauth_modules = ensure_node_modules(npm)?;
        let bin = initdb.parent().context("initdb has no folder")?.to_path_buf();
        let scenarios = PrivatePostgres::start(&bin, "scenarios", &find_memory_folder())?;
        let durable = PrivatePostgres::start(&bin, "crashes", &env::temp_dir())?;
        let display = |path: &Path| path.display().to_string();
        let environment = vec![
            ("BOWLINE_TEST_POSTGRES", scenarios.url.clone()),
            ("BOWLINE_TEST_POSTGRES_DURABLE", durable.url.clone()),
            ("BOWLINE_TEST_POSTGRES_BIN", display(&bin)),
            ("BOWLINE_TEST_PGBOUNCER", display(pgbouncer)),
            ("BOWLINE_TEST_CHROMIUM", display(chromium)),
            ("BOWLINE_TEST_CHROMEDRIVER", display(driver)),
            ("BOWLINE_TEST_STRACE", display(strace)),
            ("BOWLINE_TEST_SCHEMATHESIS", display(&schemathesis)),
            ("BOWLINE_TEST_NODE", display(node)),
            ("BOWLINE_TEST_OAUTH_PYTHON", display(&oauth_python)),
            ("BOWLINE_TEST_DJANGO_PYTHON", display(&django_python)),
            ("BOWLINE_TEST_OAUTH_NODE_MODULES", display(&oauth_modules)),
        ];
        Ok(Self { environment, clusters: vec![scenarios, durable] })
    }
}

impl Drop for TestEnvironment {
    fn drop(&mut self) {
        for cluster in &mut self.clusters {
            cluster.stop();
        }
    }
}

fn ensure_installed(need: Requirement) -> Result<PathBuf> {
    match plan_installation(need, find_program(need), is_root()) {
        InstallPlan::Found(path) => {
            println!("  {} found: {}", need.name, path.display());
            Ok(path)
        }
        InstallPlan::Fail(why) => bail!(why),
        InstallPlan::Install(packages) => {
            println!("  {} is missing: installing {}", need.name, packages.join(" "));
            install_packages(packages)?;
            find_program(need)
                .with_context(|| format!("{} is still missing after its installation", need.name))
        }
    }
}

/// The pinned versions of schemathesis and its dependencies.
const SCHEMATHESIS: &str = include_str!("../schemathesis.txt");
/// The pinned versions of the OAuth libraries of Python and their dependencies.
const OAUTH_PYTHON: &str = include_str!("../../server/tests/oauth-libraries/requirements.txt");
/// The pinned versions of django-oauth-toolkit and its dependencies.
const DJANGO: &str = include_str!("../../server/tests/oauth-libraries/django-requirements.txt");
/// The OAuth libraries of JavaScript, and the pinned versions of them and of their dependencies.
const NODE_PACKAGE: &str = include_str!("../../server/tests/oauth-libraries/package.json");
const NODE_PACKAGE_LOCK: &str = include_str!("../../server/tests/oauth-libraries/package-lock.json");

/// Installs something into a folder below `target/` unless the folder already has it in these versions.
pub(crate) fn ensure_installation(
    folder: &Path,
    versions: &str,
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let (name, marker) =
        (folder.file_name().unwrap_or_default().display(), folder.join("installed-versions"));
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == versions) {
        println!("  {name} found: {}", folder.display());
        return Ok(());
    }
    println!("  {name} is missing: installing it into {}", folder.display());
    let _ = std::fs::remove_dir_all(folder);
    install()?;
    // The versions are stored last, so that the next run repeats an interrupted installation.
    Ok(std::fs::write(marker, versions)?)
}

/// Installs Python packages into a virtual environment below `target/`; returns the folder of its programs.
fn ensure_python_packages(python: &Path, name: &str, packages: &str) -> Result<PathBuf> {
    let folder = crate::tidy::root().join("target").join(name);
    ensure_installation(&folder, packages, || {
        if !create_virtualenv(python, &folder)? {
            ensure!(
                is_root(),
                "Python cannot create virtual environments. Run: sudo apt-get install -y python3-venv"
            );
            println!("  Python cannot create virtual environments: installing python3-venv");
            install_packages(&["python3-venv"])?;
            ensure!(create_virtualenv(python, &folder)?, "{} -m venv failed", python.display());
        }
        let list = folder.join("packages.txt");
        std::fs::write(&list, packages)?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "-r"]);
        run_checked(pip.arg(&list))
    })?;
    Ok(folder.join("bin"))
}

/// Installs the OAuth libraries of JavaScript below `target/`; returns the folder of the modules.
fn ensure_node_modules(npm: &Path) -> Result<PathBuf> {
    let folder = crate::tidy::root().join("target/oauth-node");
    ensure_installation(&folder, NODE_PACKAGE_LOCK, || {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("package.json"), NODE_PACKAGE)?;
        std::fs::write(folder.join("package-lock.json"), NODE_PACKAGE_LOCK)?;
        let mut command = Command::new(npm);
        // Scripts of packages are not run: none of these needs one.
        command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        run_checked(command.current_dir(&folder).stdout(Stdio::null()))
    })?;
    Ok(folder.join("node_modules"))
}

/// Creates a virtual environment of Python. Returns false if Python cannot create one, for example without the module
/// `venv`.
fn create_virtualenv(python: &Path, folder: &Path) -> Result<bool> {
    let created = Command::new(python).args(["-m", "venv"]).arg(folder).stdout(Stdio::null()).status();
    Ok(created.with_context(|| python.display().to_string())?.success())
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).stdout(Stdio::null());
        let status = command.status().context("apt-get")?;
        ensure!(status.success(), "apt-get {} failed", arguments.join(" "));
        Ok(())
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], packages].concat())
}

/// The space that the data of the scenarios needs at most.
const NEEDED_SPACE_MIB: u64 = 4_096;

/// Returns a folder in memory, where a sync costs nothing, or the folder for temporary files if memory is short. The hub
/// refuses a server with `fsync=off`, so the tests cannot save that time in another way.
fn find_memory_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free = Command::new("df").args(["--output=avail", "-BM"]).arg(memory).output();
    let free = free.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free = free.lines().nth(1).and_then(|line| line.trim().trim_end_matches('M').parse::<u64>().ok());
    if free.is_some_and(|mib| mib >= NEEDED_SPACE_MIB) { memory.to_owned() } else { env::temp_dir() }
}

/// A PostgreSQL server for the tests. Dropping it stops the server and removes its folder.
struct PrivatePostgres {
    folder: PathBuf,
    url: String,
    server: Child,
}

impl PrivatePostgres {
    fn start(bin: &Path, name: &str, parent: &Path) -> Result<Self> {
        let folder = parent.join(format!("bowline-pg-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let root = is_root();
        if root {
            run_checked(Command::new("chown").arg("postgres").arg(&folder))?;
        }
        let mut initdb = postgres_command(root, &bin.join("initdb"));
        run_checked(initdb.arg("-D").arg(&folder).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = postgres_command(root, &bin.join("postgres"));
        server.arg("-D").arg(&folder).args(["-p", &port.to_string(), "-k", ""]);
        // Every store has several pools, and each test has a store of its own.
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=600"]);
        server.stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().with_context(|| format!("{server:?}"))?;
        let mut cluster =
            Self { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), folder, server };
        cluster.wait_until_ready(bin, port)?;
        println!("  PostgreSQL for {name} started on port {port}, data in {}", cluster.folder.display());
        Ok(cluster)
    }

    fn wait_until_ready(&mut self, bin: &Path, port: u16) -> Result<()> {
        for _ in 0..200 {
            let mut probe = Command::new(bin.join("pg_isready"));
            probe.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            if probe.status().with_context(|| format!("{probe:?}"))?.success() {
                return Ok(());
            }
            ensure!(self.server.try_wait()?.is_none(), "PostgreSQL ended during its start");
            #[expect(
                clippy::disallowed_methods,
                reason = "another process starts; it offers nothing to wait for"
            )]
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("PostgreSQL did not start within ten seconds")
    }

    fn stop(&mut self) {
        // SIGINT requests a fast shutdown. `setpriv` replaces itself by the server, so the signal reaches it.
        let _ = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Builds a command for a PostgreSQL program. If `root` is true, the program runs as the user `postgres`, because it
/// refuses to run as root.
fn postgres_command(root: bool, program: &Path) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "INT"])
        .arg(program);
    command.current_dir("/");
    command
}

fn run_checked(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_installed_or_reported() {
        for need in REQUIREMENTS {
            let found = PathBuf::from("/usr/bin/x");
            assert_eq!(plan_installation(need, Some(found.clone()), false), InstallPlan::Found(found));
            assert_eq!(plan_installation(need, None, true), InstallPlan::Install(need.packages));
            let InstallPlan::Fail(why) = plan_installation(need, None, false) else { panic!("must fail") };
            assert!(why.contains("apt-get install") && why.contains(need.packages[0]), "{why}");
        }
    }
}
