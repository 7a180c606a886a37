//! Finds out who a request is from, and lets people in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use lovage_core::{Clock, Entropy};
use tokio::sync::Semaphore;

use super::{
    Access, Attempts, Digest, LoginLinks, NewSession, Role, Secret, Session, SessionRef, Sessions, Source,
    Who, digest,
};

/// Passwords that are checked at the same time; each takes 19 MiB.
const CHECKS: usize = 2;
/// The name of whoever came by a link.
pub(crate) const LOCAL: &str = "local";
const SESSION: &str = "lovage_session";
const LOGIN: &str = "lovage_login";

/// Everything about logins.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) access: Access,
    pub(crate) links: LoginLinks,
    pub(crate) sessions: Sessions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) attempts: Attempts,
    /// Whose `x-forwarded-for` is believed.
    proxies: Vec<IpAddr>,
    checks: Semaphore,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Name or password are wrong; which of them is not told.
    Wrong,
    /// There were too many attempts: how long to wait.
    TooMany(Duration),
}

impl Guard {
    pub(crate) fn new(
        access: Access,
        links: LoginLinks,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        proxies: Vec<IpAddr>,
    ) -> Self {
        let checks = Semaphore::new(CHECKS);
        let (sessions, attempts) = (Sessions::default(), Attempts::default());
        Self { access, links, sessions, clock, entropy, attempts, proxies, checks }
    }

    /// Who a request is from.
    pub(crate) fn identify(&self, parts: &Parts) -> Option<Who> {
        // A proxy may pass on the header by which it has authenticated the user: it is not a token of the dashboard.
        let is_proxied = matches!(self.access, Access::Proxy(_));
        if !is_proxied && parts.headers.contains_key(header::AUTHORIZATION) {
            return self.program(bearer(&parts.headers)?);
        }
        let id = cookie(parts, SESSION).map(digest);
        let session = id.and_then(|id| Some((id, self.sessions.visit(self.clock.monotonic(), &id)?)));
        if let Access::Proxy(proxy) = &self.access {
            let (name, role) = proxy.is_at(peer(parts)).then(|| proxy.identify(&parts.headers))??;
            let session = session.filter(|(_, session)| session.name == name);
            return Some(Who { name, role, session: session.map(|(id, session)| reference(id, session)) });
        }
        let (id, session) = session?;
        let Some(role) = self.role_now(&session) else {
            self.sessions.close(&id);
            return None;
        };
        Some(Who { name: session.name.clone(), role, session: Some(reference(id, session)) })
    }

    /// Whether somebody whose page stays open is still logged in, in the same role.
    pub(crate) fn still_knows(&self, who: &Who) -> bool {
        let Some(reference) = &who.session else { return true };
        let session = self.sessions.look(self.clock.monotonic(), &reference.id);
        session.is_some_and(|session| match &self.access {
            Access::Proxy(_) => session.name == who.name,
            Access::Link | Access::Users(_) => self.role_now(&session) == Some(who.role),
        })
    }

    /// Opens a session for somebody whom the proxy in front knows. Answers it with its id, for the cookie.
    pub(crate) fn open_for(&self, name: &str, role: Role) -> Option<(SessionRef, Secret)> {
        let new = NewSession { name: name.to_owned(), role, proof: None };
        let secret = self.sessions.open(self.clock.monotonic(), &*self.entropy, new);
        let id = secret.digest();
        let session = self.sessions.look(self.clock.monotonic(), &id)?;
        Some((reference(id, session), secret))
    }

    /// Logs in by name and password.
    pub(crate) async fn by_password(
        &self,
        parts: &Parts,
        name: &str,
        password: &str,
    ) -> Result<Secret, Refused> {
        let Access::Users(file) = &self.access else { return Err(Refused::Wrong) };
        let sources = Source::of(name, self.client(parts));
        self.attempts.begin(self.clock.monotonic(), &sources).map_err(Refused::TooMany)?;
        let users = file.current(self.clock.monotonic());
        let (name, password) = (name.to_owned(), password.to_owned());
        let Ok(_permit) = self.checks.acquire().await else { return Err(Refused::Wrong) };
        let checked = tokio::task::spawn_blocking(move || {
            let found = users.check_password(&name, &password);
            found.map(|(role, proof)| NewSession { name, role, proof: Some(proof) })
        });
        let new = checked.await.ok().flatten().ok_or(Refused::Wrong)?;
        self.attempts.succeeded(self.clock.monotonic(), &sources);
        Ok(self.let_in(parts, new))
    }

    /// Logs in by a one-time link. Attempts are not counted: nobody guesses 32 random bytes, and pages of other sites could
    /// use up those of somebody who looks at them.
    pub(crate) fn by_link(&self, parts: &Parts, token: &str) -> Result<Secret, Refused> {
        if !matches!(self.access, Access::Link) || !self.links.redeem(token) {
            return Err(Refused::Wrong);
        }
        let new = NewSession { name: LOCAL.to_owned(), role: Role::Operator, proof: None };
        Ok(self.let_in(parts, new))
    }

    /// Ends the session that a browser has a cookie of.
    pub(crate) fn forget(&self, parts: &Parts) {
        if let Some(id) = cookie(parts, SESSION) {
            self.sessions.close(&digest(id));
        }
    }

    /// Whether somebody of this name could log in by a password.
    pub(crate) fn knows(&self, name: &str) -> bool {
        let Access::Users(file) = &self.access else { return false };
        file.current(self.clock.monotonic()).list().any(|(known, _)| known == name)
    }

    /// Whether there is a form to log in with.
    pub(crate) fn has_form(&self) -> bool {
        matches!(self.access, Access::Users(_))
    }

    /// The value that a login form must repeat.
    pub(crate) fn login_value(parts: &Parts) -> Option<&str> {
        cookie(parts, LOGIN).filter(|value| value.len() == 64)
    }

    fn program(&self, token: &str) -> Option<Who> {
        let Access::Users(file) = &self.access else { return None };
        let users = file.current(self.clock.monotonic());
        let (name, role) = users.check_token(token)?;
        Some(Who { name: name.to_owned(), role, session: None })
    }

    fn role_now(&self, session: &Session) -> Option<Role> {
        match (&self.access, &session.proof) {
            (Access::Users(file), Some(proof)) => {
                file.current(self.clock.monotonic()).role_of(&session.name, proof)
            }
            (Access::Link, None) => Some(session.role),
            (Access::Users(_), None) | (Access::Link, Some(_)) | (Access::Proxy(_), _) => None,
        }
    }

    /// The address that a request comes from: behind proxies that are believed, the one that the outermost of them saw. Each
    /// adds what it saw at the end; what stands before that is what the browser says of itself.
    pub(crate) fn client(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = peer(parts)?.to_canonical();
        let is_proxy = |address: &IpAddr| self.proxies.contains(address);
        if !is_proxy(&peer) {
            return Some(peer);
        }
        let lines = parts.headers.get_all("x-forwarded-for").iter().rev();
        let lines = lines.map(|line| line.to_str().unwrap_or_default());
        let addresses = lines.flat_map(|line| line.rsplit(',').map(|address| address.trim().parse().ok()));
        let seen =
            addresses.map_while(|address: Option<IpAddr>| address.map(|address| address.to_canonical()));
        let mut last = peer;
        for address in seen {
            last = address;
            if !is_proxy(&address) {
                break;
            }
        }
        Some(last)
    }

    /// The session that the browser had before ends: nobody else goes on with it.
    fn let_in(&self, parts: &Parts, new: NewSession) -> Secret {
        self.forget(parts);
        self.sessions.open(self.clock.monotonic(), &*self.entropy, new)
    }
}

/// The token that a program sends.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Whether a request that changes something comes from a page of ours, as far as the browser tells. It is the second line
/// behind the token that each form carries.
pub(crate) fn check_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or_default());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == text(header::HOST)
}

/// The cookie that holds a session; an empty id removes it.
pub(crate) fn session_cookie(parts: &Parts, base: &str, secure: bool, id: &str) -> String {
    set_cookie(&instance_name(parts, SESSION), base, secure, id)
}

/// The cookie that a login form must come with, because there is no session yet.
pub(crate) fn login_cookie(parts: &Parts, base: &str, secure: bool, value: &str) -> String {
    set_cookie(&instance_name(parts, LOGIN), base, secure, value)
}

/// The name of a cookie with the port under which the browser reaches this dashboard. Browsers send a cookie to every port of
/// a host, so that two dashboards on one host would otherwise overwrite each other's sessions.
fn instance_name(parts: &Parts, name: &str) -> String {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    let port = host.and_then(|host| host.rsplit_once(':')).and_then(|(_, port)| port.parse::<u16>().ok());
    port.map_or_else(|| name.to_owned(), |port| format!("{name}_{port}"))
}

/// The value of a cookie of this dashboard.
fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let name = instance_name(parts, name);
    let pairs = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| **found == *name).map(|(_, value)| value)
}

fn set_cookie(name: &str, base: &str, secure: bool, value: &str) -> String {
    let path = if base.is_empty() { "/" } else { base };
    let secure = if secure { "; Secure" } else { "" };
    let ends = if value.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}{ends}")
}

fn reference(id: Digest, session: Session) -> SessionRef {
    SessionRef { id, csrf: session.csrf }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn another_sites_form_is_told_from_ours() {
        for (pairs, ours) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://a"), ("host", "a")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://a:8410"), ("host", "a:8410")], true),
            (&[("origin", "http://evil"), ("host", "a:8410")], false),
            (&[("origin", "null"), ("host", "null")], false),
        ] {
            assert_eq!(check_origin(&headers(pairs)), ours, "{pairs:?}");
        }
    }

    #[test]
    fn only_a_proxy_that_is_believed_says_where_a_request_comes_from() {
        let seen = |proxies: &[&str], peer: &str, forwarded: &[&'static str]| {
            let clock: Arc<dyn Clock> = Arc::new(lovage_testkit::FakeClock::new());
            let entropy: Arc<dyn Entropy> = Arc::new(lovage_testkit::SeededEntropy::new(1));
            let links = LoginLinks::new(Arc::clone(&entropy), String::new());
            let proxies = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
            let guard = Guard::new(Access::Link, links, clock, entropy, proxies);
            let mut parts = axum::http::Request::new(()).into_parts().0;
            for line in forwarded {
                parts.headers.append("x-forwarded-for", line.parse().unwrap());
            }
            parts.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
            guard.client(&parts).unwrap().to_string()
        };
        assert_eq!(seen(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1", "nobody is believed");
        assert_eq!(seen(&["10.0.0.1"], "10.0.0.2", &["1.2.3.4"]), "10.0.0.2", "not the proxy");
        assert_eq!(seen(&["10.0.0.1"], "::ffff:10.0.0.1", &["9.9.9.9, 1.2.3.4"]), "1.2.3.4", "the last");
        assert_eq!(seen(&["10.0.0.1", "10.0.0.2"], "10.0.0.1", &["9.9.9.9", "1.2.3.4,10.0.0.2"]), "1.2.3.4");
        assert_eq!(seen(&["10.0.0.1"], "10.0.0.1", &["1.2.3.4, nonsense"]), "10.0.0.1");
        assert_eq!(seen(&["10.0.0.1"], "10.0.0.1", &[]), "10.0.0.1");
    }

    /// So that a flood of logins takes neither all memory nor all threads.
    #[test]
    fn few_passwords_are_checked_at_the_same_time_and_the_others_wait_for_their_turn() {
        // On one thread what was started before has ended before.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let entropy: Arc<dyn Entropy> = Arc::new(lovage_testkit::SeededEntropy::new(1));
        let mut users = crate::Users::new();
        users.set_password("ann", Role::Operator, "correct horse", &*entropy).unwrap();
        let links = LoginLinks::new(Arc::clone(&entropy), String::new());
        let access = Access::Users(crate::UserFile::fixed(users));
        let clock = Arc::new(lovage_testkit::FakeClock::new());
        let guard = Guard::new(access, links, clock, entropy, Vec::new());
        let parts = axum::http::Request::new(()).into_parts().0;
        runtime.block_on(async {
            let others = guard.checks.acquire_many(2).await.unwrap();
            assert_eq!(guard.checks.available_permits(), 0);
            let mut checking = pin!(guard.by_password(&parts, "ann", "correct horse"));
            assert!(poll!(&mut checking).is_pending());
            tokio::task::spawn_blocking(|| {}).await.unwrap();
            assert!(poll!(&mut checking).is_pending(), "it did not wait for its turn");
            drop(others);
            assert!(checking.await.is_ok());
        });
    }

    #[test]
    fn a_cookie_is_found_among_others_and_by_its_whole_name() {
        let mut parts = axum::http::Request::new(()).into_parts().0;
        parts.headers = headers(&[("cookie", "a=1; xlovage_session=no; lovage_session=yes")]);
        assert_eq!(cookie(&parts, SESSION), Some("yes"));
        assert_eq!(
            session_cookie(&parts, "/lovage", true, "ab"),
            "lovage_session=ab; Path=/lovage; HttpOnly; SameSite=Strict; Secure"
        );
    }

    #[test]
    fn dashboards_on_two_ports_of_a_host_have_their_own_cookies() {
        let mut parts = axum::http::Request::new(()).into_parts().0;
        parts.headers =
            headers(&[("host", "[::1]:8411"), ("cookie", "lovage_session=a; lovage_session_8411=b")]);
        assert_eq!(cookie(&parts, SESSION), Some("b"));
        assert!(session_cookie(&parts, "", false, "x").starts_with("lovage_session_8411=x; Path=/;"));
        parts.headers.insert("host", "tasks.example".parse().unwrap());
        assert_eq!(cookie(&parts, SESSION), Some("a"));
    }
}
