//! `dashboard`, and the dashboard of `worker --dashboard` and `dev`.

mod user;

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use lovage_dashboard::{Access, Dashboard, DashboardError, Parts, Proxy, UserFile, UsersError};
use lovage_system::{SystemClock, SystemEntropy};
use lovage_worker::Client;
use lovage_worker::connect::open_broker;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::migrate::migrate_first;
use super::supervised::{Part, Supervised};
use super::worker::{NO_BROKER, patiently, stopped};
use crate::cli::{DashboardArgs, DashboardCommand};
use crate::config::{DashboardConfig, Setting};
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;
use crate::signals::Signals;

/// `lovage dashboard`.
pub(crate) async fn dashboard(session: &Session, args: DashboardArgs) -> Result<(), CliError> {
    if let Some(DashboardCommand::User(command)) = args.command {
        return user::user(&session.config.dashboard, command);
    }
    let mut signals = Signals::listen()?;
    let mut supervised = Supervised::prepare(session).await?;
    // What is wrong with the set-up is told before anybody waits for a server.
    let site = Site::prepare(&session.config.dashboard, session.config.dashboard.listen).await?;
    let missing = session.missing_file();
    let connecting = async || {
        if args.migrate {
            migrate_first(session, &[Setting::Broker, Setting::Results, Setting::Schedules]).await?;
        }
        let client = session.connect().await?;
        parts(session, &client).await
    };
    let Some(parts) = patiently(&mut signals, "broker and results", None, connecting).await? else {
        tracing::info!("{NO_BROKER}");
        return Ok(());
    };
    supervised.watch(session, &parts.broker, Part::Other, false);
    let served = site.open(parts)?;
    Out.announce(banner(session, &served, missing.as_deref()));
    tracing::info!("dashboard ready");
    supervised.ready("serves the dashboard");
    stopped(&mut signals).await;
    supervised.stopping();
    served.end().await;
    supervised.end().await;
    tracing::info!("stopped");
    Ok(())
}

/// A dashboard that has its address, and nothing to show yet.
pub(crate) struct Site {
    listener: TcpListener,
    address: SocketAddr,
    access: Access,
    base: String,
    proxies: Vec<IpAddr>,
    secure_cookies: bool,
}

/// A dashboard that is served.
pub(crate) struct Served {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), DashboardError>>,
    /// Where it is; a link that logs in once where nobody has to say who they are.
    pub(crate) place: String,
}

impl Site {
    /// Takes the address, and reads who may log in.
    ///
    /// # Errors
    /// When the address is taken or reaches others while nobody has to log in, or when the users cannot be read.
    pub(crate) async fn prepare(config: &DashboardConfig, address: SocketAddr) -> Result<Self, CliError> {
        let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
        Self::on(listener, config)
    }

    /// The same for `dev`, which takes another port when its own is taken: somebody else's `dev` runs there.
    pub(crate) async fn prepare_somewhere(config: &DashboardConfig) -> Result<Self, CliError> {
        let listener = match TcpListener::bind(config.listen).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                TcpListener::bind((config.listen.ip(), 0)).await
            }
            bound => bound,
        };
        Self::on(listener.map_err(|error| cannot_listen(config.listen, &error))?, config)
    }

    fn on(listener: TcpListener, config: &DashboardConfig) -> Result<Self, CliError> {
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            access: access(config)?,
            base: config.base.clone().unwrap_or_default(),
            proxies: config.proxies.clone(),
            secure_cookies: config.secure_cookies,
        })
    }

    /// Serves it.
    ///
    /// # Errors
    /// When others can reach it and nobody has to log in, or when the base is not a path.
    pub(crate) fn open(self, parts: Parts) -> Result<Served, CliError> {
        let links = matches!(self.access, Access::Link);
        let dashboard =
            Dashboard::new(parts).access(self.access).forwarded_by(self.proxies).base(&self.base)?;
        let dashboard = if self.secure_cookies { dashboard.secure_cookies() } else { dashboard };
        dashboard.check(self.address)?;
        let place = if links {
            let links = dashboard.links();
            let link = links.link(self.address);
            more_links(move || links.link(self.address));
            format!("{link} (logs in once)")
        } else {
            format!("http://{}{}", self.address, self.base)
        };
        let (stop, stopped) = oneshot::channel();
        let serving = dashboard.serve(self.listener, async { drop(stopped.await) });
        Ok(Served { stop, serving: tokio::spawn(serving), place })
    }
}

impl Served {
    /// Answers what was asked, and ends.
    pub(crate) async fn end(self) {
        drop(self.stop);
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{error}"),
            Err(error) => tracing::error!("the dashboard ended with a panic: {error}"),
        }
    }
}

/// What it shows, with a handle of its own to the broker.
///
/// # Errors
/// When broker, results or schedule cannot be used.
pub(crate) async fn parts(session: &Session, client: &Client) -> Result<Parts, CliError> {
    let broker = open_broker(&session.config.broker).await;
    let broker = broker.map_err(|error| CliError::from(error).hint(session.place(Setting::Broker)))?;
    let results = client.results().cloned().ok_or_else(|| {
        CliError::usage("a dashboard shows results: set LOVAGE_RESULTS_URL to where they are")
    })?;
    let schedules = if session.has_schedules() { Some(session.open_schedules().await?) } else { None };
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    Ok(Parts { broker, results, schedules, clock, entropy })
}

fn access(config: &DashboardConfig) -> Result<Access, CliError> {
    if let Some(header) = &config.user_header {
        let proxy = Proxy::new(header, config.proxies.iter().copied()).operators(config.operators.clone());
        return Ok(Access::Proxy(match &config.groups_header {
            Some(groups) => proxy.operator_groups(groups, config.operator_groups.clone()),
            None => proxy,
        }));
    }
    match config.users_file() {
        Some(path) => Ok(Access::Users(UserFile::open(path)?)),
        None => Ok(Access::Link),
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> CliError {
    let failed = CliError::failed(format!("the dashboard cannot listen on {address}: {error}"));
    failed.hint(if error.kind() == ErrorKind::AddrInUse {
        "another program uses it: choose another one (--listen, or worker --dashboard ADDR)"
    } else {
        "the address is dashboard.listen, LOVAGE_DASHBOARD_LISTEN, --listen or that of worker --dashboard"
    })
}

/// A used link is of no use to the next browser: at a terminal, Enter prints another one.
fn more_links(link: impl Fn() -> String + Send + 'static) {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        std::thread::spawn(move || {
            io::stdin()
                .lines()
                .map_while(Result::ok)
                .try_for_each(|_| Out.line(format!("dashboard {} (logs in once)", link())))
        });
    }
}

/// `made`: the file of a broker that was not there before, where somebody may have meant another one.
fn banner(session: &Session, served: &Served, made: Option<&Path>) -> String {
    let config = &session.config;
    let mut text = format!("dashboard ({} {})\n\n", session.program, env!("CARGO_PKG_VERSION"));
    for (title, value) in [
        ("broker", config.shown(Setting::Broker)),
        ("results", config.shown(Setting::Results)),
        ("schedule", config.shown(Setting::Schedules)),
        ("dashboard", served.place.clone()),
    ] {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "  {title:<12} {value}");
    }
    if let Some(made) = made {
        let full = std::path::absolute(made).unwrap_or_else(|_| made.to_owned());
        let _infallible = writeln!(
            text,
            "\n{} did not exist: it is new, and has nothing to show yet. Was another broker meant? Name it by --broker, \
             LOVAGE_BROKER_URL or lovage.toml.",
            full.display()
        );
    }
    text
}

impl From<DashboardError> for CliError {
    fn from(error: DashboardError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<UsersError> for CliError {
    fn from(error: UsersError) -> Self {
        Self::usage(error.to_string())
    }
}
