//! See and steer Lovage's tasks, queues, workers and schedules in a browser, and by a JSON API.
//!
//! Pages are rendered here and need no other server: styles and script are compiled in. Every page works without the
//! script, which keeps pages up to date by server-sent events.
//!
//! `routes` is the one table of everything that can be asked for; each line says who may. `dispatch` is the way of every
//! request: who is it, may they, is the form theirs, then the handler. `look` gathers what is shown, `act` does what can be
//! done, `jobs` goes on with what takes long, `pages` and `api` show both to people and to programs.
//!
//! Nobody sees anything without logging in: by a one-time link on the machine itself, by name and password, by a token, or
//! by what a proxy says; see [`Access`].

mod act;
mod api;
mod app;
mod assets;
mod audit;
mod auth;
mod call;
mod dashboard;
mod dispatch;
mod doing;
mod health;
mod jobs;
mod live;
mod login;
mod look;
mod pages;
mod params;
mod problem;
mod routes;
#[cfg(test)]
mod tests;
mod typed;

pub use app::Parts;
pub use auth::{Access, LoginLinks, Proxy, Role, UserFile, Users, UsersError};
pub use dashboard::{Dashboard, DashboardError};
