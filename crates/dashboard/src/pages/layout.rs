//! The frame around all pages.

use std::time::Duration;

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use super::kit::prose;
use super::{Nav, Page, Url};
use crate::app::App;
use crate::assets;
use crate::auth::{Flash, Tone};
use crate::call::Call;

/// A whole page.
pub(crate) fn whole(call: &Call, page: Page) -> Html<String> {
    let session = call.who.as_ref().and_then(|who| who.session.as_ref());
    let flashes =
        session.map(|session| call.app.guard.sessions.take_flashes(&session.id)).unwrap_or_default();
    let base = &call.app.base;
    let body = html! {
        a.skip href="#content" { "Skip to the content" }
        div.frame {
            header.side {
                a.brand href=(Url::new(base, "/")) {
                    img src=(Url::new(base, &assets::icon())) alt=""; "Lovage"
                }
                // On a narrow screen the rest is opened by a button, also without scripts.
                button.menu type="button" popovertarget="menu" { "Menu" }
                div #menu popover {
                    nav.main aria-label="Main" {
                        ul {
                            @for nav in Nav::ALL {
                                li { a href=(Url::new(base, nav.path())) aria-current=[(nav == page.nav).then_some("page")] { (nav.title()) } }
                            }
                        }
                    }
                    (me(call))
                }
            }
            main #content tabindex="-1" {
                div.top {
                    h1 { (page.title) }
                    @if page.live.is_some() { p #live-status role="status" {} }
                }
                (messages(&flashes))
                (page.head)
                @if let Some(live) = page.live {
                    div #live data-live=(Url::new(base, "/live").with("of", &call.at)) { (live) }
                }
                (page.foot)
            }
        }
    };
    document(&call.app, &page.title, page.refresh, &body)
}

/// A page without navigation, for people who are not logged in.
pub(crate) fn bare(app: &App, title: &str, content: &Markup) -> Html<String> {
    let body = html! {
        main.alone #content {
            div.card {
                h1 { "Lovage: " (title) }
                (content)
            }
        }
    };
    document(app, title, None, &body)
}

/// A sentence for people who are not logged in.
pub(crate) fn plain(app: &App, sentence: &str) -> Html<String> {
    bare(app, "not possible", &html! { p { (sentence) } })
}

/// A page that asks for itself again.
pub(crate) fn bounce() -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta http-equiv="refresh" content="0"; title { "Lovage" } }
            body { p { "One moment." } }
        }
    };
    Html(page.into_string())
}

fn me(call: &Call) -> Markup {
    html! {
        div.me {
            @if let Some(who) = &call.who {
                p { (who.name) " · " (who.role) }
                form method="post" action=(Url::new(&call.app.base, "/logout")) {
                    input type="hidden" name="csrf" value=(call.csrf());
                    button type="submit" { "Log out" }
                }
            }
            button #theme type="button" hidden { "Dark" }
        }
    }
}

fn messages(flashes: &[Flash]) -> Markup {
    html! {
        @for flash in flashes {
            @match flash.tone {
                Tone::Good => p.flash.good role="status" { (prose(&flash.text)) },
                Tone::Bad => p.flash.bad role="alert" { (prose(&flash.text)) },
            }
        }
    }
}

/// `refresh`: the browser loads the page again after this time, also without scripts.
fn document(app: &App, title: &str, refresh: Option<Duration>, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                @if let Some(refresh) = refresh { meta http-equiv="refresh" content=(refresh.as_secs()); }
                title { (title) " · Lovage" }
                link rel="icon" href=(Url::new(&app.base, &assets::icon()));
                link rel="stylesheet" href=(Url::new(&app.base, &assets::css()));
                script src=(Url::new(&app.base, &assets::js())) {}
            }
            body { (body) }
        }
    };
    Html(page.into_string())
}
