//! Setting up a dashboard, and serving it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Method;
use axum::middleware::map_response;
use axum::routing::{MethodFilter, any, on};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, pending, select};
use lovage_http::{Limits, serve};
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;

use crate::LoginLinks;
use crate::app::{App, Parts};
use crate::audit::Audit;
use crate::auth::{Access, Guard, Permission};
use crate::dispatch::{dispatch, harden, no_page, other_method, unknown};
use crate::jobs::Jobs;
use crate::live::Streams;
use crate::look::growth::Seen;
use crate::look::hidden::LastKnown;
use crate::look::scheduled::Scan;
use crate::routes::{API, Route, Surface, table};

/// Largest body in bytes: what is typed into forms, or lists of ids.
const BODY: usize = 2 * 1024 * 1024;
/// The same from people who are not logged in.
const LOGIN_BODY: usize = 32 * 1024;

/// How long jobs may take to end when it stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// A dashboard: pages for people and an API for programs.
///
/// It is served by itself with [`serve`](Self::serve), or within an axum server with [`router`](Self::router).
#[must_use = "a dashboard does nothing until it is served"]
pub struct Dashboard {
    parts: Parts,
    access: Access,
    base: String,
    secure: bool,
    proxies: Vec<IpAddr>,
    stop: Shared<BoxFuture<'static, ()>>,
    links: LoginLinks,
}

/// Why a dashboard does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DashboardError {
    /// Others can reach the address, and anybody with the link could log in.
    #[error(
        "{address} can be reached by others: add a user first (lovage dashboard user add), set up the header of a proxy, \
         or listen on 127.0.0.1"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// People are to log in by name, and there is nobody who could.
    #[error("there are no users{}: add one first (lovage dashboard user add NAME)", in_file(file.as_deref()))]
    NoUsers {
        /// Their file.
        file: Option<PathBuf>,
    },
    /// The base is not a path.
    #[error(
        "base `{found}` is not valid: expected a path such as /lovage, of letters, digits, `_`, `-`, `.` and `/`"
    )]
    Base {
        /// What was found.
        found: String,
    },
    /// The socket failed.
    #[error("the dashboard cannot be served: {0}")]
    Io(#[from] std::io::Error),
}

impl Dashboard {
    /// A dashboard of these parts, into which one-time links lead; see [`links`](Self::links).
    pub fn new(parts: Parts) -> Self {
        let links = LoginLinks::new(Arc::clone(&parts.entropy), String::new());
        let stop = pending::<()>().boxed().shared();
        Self {
            parts,
            access: Access::Link,
            base: String::new(),
            secure: false,
            proxies: Vec::new(),
            stop,
            links,
        }
    }

    /// How people prove who they are.
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// The path under which browsers reach it, such as `/lovage`. Links that were made before do not know it.
    ///
    /// # Errors
    /// When it is not a path of plain characters.
    pub fn base(self, path: &str) -> Result<Self, DashboardError> {
        let base = path.trim_end_matches('/').to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        let is_path =
            base.starts_with('/') && base.chars().all(plain) && !base.contains("//") && !base.contains("..");
        if !base.is_empty() && !is_path {
            return Err(DashboardError::Base { found: path.to_owned() });
        }
        let links = LoginLinks::new(Arc::clone(&self.parts.entropy), base.clone());
        Ok(Self { base, links, ..self })
    }

    /// Browsers reach it by TLS only: cookies are sent by no other way. Without this it goes by the `x-forwarded-proto` of
    /// each request.
    pub fn secure_cookies(self) -> Self {
        Self { secure: true, ..self }
    }

    /// Proxies in front of it. What they say in `x-forwarded-for` is where a login comes from, by which attempts are counted;
    /// without this, attempts through a proxy are all counted as the proxy's.
    pub fn forwarded_by(self, proxies: impl IntoIterator<Item = IpAddr>) -> Self {
        let proxies = proxies.into_iter().map(|address| address.to_canonical()).collect();
        Self { proxies, ..self }
    }

    /// Ends the streams of open pages, and jobs, when `signal` ends, so that a server that waits for its connections can stop.
    pub fn stop_on(self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { stop: signal.boxed().shared(), ..self }
    }

    /// Makes links that log in once, where [`Access::Link`] stands.
    #[must_use]
    pub fn links(&self) -> LoginLinks {
        self.links.clone()
    }

    /// The routes, all of them under the base: merge them into your own with [`Router::merge`]. Serve with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, so that logins are counted by address and a proxy is known.
    pub fn router(self) -> Router {
        let (router, app) = self.mounted();
        // Without a base, what is not there may be a path of yours.
        if app.base.is_empty() {
            return router;
        }
        let below = format!("{}/{{*rest}}", app.base);
        with_unknown(router, &app.base).route(&below, any(move |request| no_page(Arc::clone(&app), request)))
    }

    fn mounted(self) -> (Router, Arc<App>) {
        let Self { parts, access, base, secure, proxies, stop, links } = self;
        let guard = Guard::new(access, links, Arc::clone(&parts.clock), Arc::clone(&parts.entropy), proxies);
        let (streams, audit) = (Arc::new(Streams::default()), Audit::default());
        let app = Arc::new(App {
            parts,
            guard,
            audit,
            base,
            secure,
            streams,
            sampled: AtomicI64::default(),
            jobs: Jobs::new(),
            seen: Seen::default(),
            hidden: LastKnown::default(),
            scan: Scan::default(),
            stop,
        });
        let router = table().iter().fold(Router::new(), |router, route| mount(router, route, &app));
        // Streams of events are not compressed: they carry only what has changed. Compression reveals no secret of a page,
        // because the session's cookie is strict: another site cannot ask for pages in the name of a user.
        (router.route_layer(map_response(harden)).route_layer(CompressionLayer::new()), app)
    }

    /// Serves it by itself until `stop` ends, open requests were answered and jobs have ended.
    ///
    /// # Errors
    /// When others can reach the address and nobody has to log in by name, or the socket fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), DashboardError> {
        let address = listener.local_addr()?;
        self.check(address)?;
        let mut proxies = self.proxies.clone();
        if let Access::Proxy(proxy) = &self.access {
            proxies.extend(proxy.addresses());
        }
        let stop = stop.boxed().shared();
        let (router, app) = self.stop_on(stop.clone()).mounted();
        let router = with_unknown(router, &app.base);
        let limits = Limits::for_process(proxies);
        let shared = Arc::clone(&app);
        let router = router.fallback(move |request| no_page(Arc::clone(&shared), request));
        serve(listener, router, limits, Arc::clone(&app.parts.clock), stop).await?;
        // Each ends after the part that it does now, and tells the audit.
        let patience = app.parts.clock.sleep(PATIENCE);
        select(pin!(app.jobs.ended()), patience).await;
        Ok(())
    }

    /// Whether it may be served at an address, as [`serve`](Self::serve) asks: before anything is started.
    ///
    /// # Errors
    /// When others can reach the address and nobody has to log in by name, or when there are no users.
    pub fn check(&self, address: SocketAddr) -> Result<(), DashboardError> {
        match &self.access {
            Access::Link if address.ip().to_canonical().is_loopback() => Ok(()),
            Access::Link => Err(DashboardError::Exposed { address }),
            Access::Users(file) if file.current(self.parts.clock.monotonic()).is_empty() => {
                Err(DashboardError::NoUsers { file: file.path().map(Path::to_owned) })
            }
            Access::Users(_) | Access::Proxy(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parts, access, base, .. } = self;
        f.debug_struct("Dashboard")
            .field("parts", parts)
            .field("access", access)
            .field("base", base)
            .finish_non_exhaustive()
    }
}

/// Where there are none.
fn in_file(file: Option<&Path>) -> String {
    let told = |file: &Path| {
        let why = if file.exists() { "has none" } else { "does not exist" };
        format!(", because the file {} {why}", file.display())
    };
    file.map(told).unwrap_or_default()
}

fn mount(router: Router, route: &'static Route, app: &Arc<App>) -> Router {
    let method = if route.method == Method::POST { MethodFilter::POST } else { MethodFilter::GET };
    let shared = Arc::clone(app);
    let limit = if route.permission == Permission::Public { LOGIN_BODY } else { BODY };
    let answer = on(method, move |request: Request| dispatch(route, shared, request));
    let answer = match route.surface {
        Surface::Page => answer,
        Surface::Api => answer.fallback(async |method: Method| other_method(route, &method)),
    };
    let answer = answer.layer(DefaultBodyLimit::max(limit));
    let router = router.route(&format!("{}{}", app.base, route.path), answer.clone());
    if route.path == "/" && !app.base.is_empty() { router.route(&app.base, answer) } else { router }
}

/// Programs are told in their form also of what is not there.
fn with_unknown(router: Router, base: &str) -> Router {
    let paths = ["", "/", "/{*rest}"].map(|rest| format!("{base}{API}{rest}"));
    paths.iter().fold(router, |router, path| router.route(path, any(unknown)))
}
