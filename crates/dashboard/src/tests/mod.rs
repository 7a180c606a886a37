//! The dashboard from outside: requests in, answers out, on the memory backends.

mod access;
mod charts;
mod escaping;
mod goldens;
mod login;
mod pages;
mod site;
mod streams;
mod workers;
