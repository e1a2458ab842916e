//! Addresses of pages: what `test-location` compares, and where `set-location` goes.

/// The parts of an address: scheme, host with port, and path with all behind it.
struct Parts<'a> {
    scheme: String,
    authority: String,
    rest: &'a str,
}

fn parts(url: &str) -> Option<Parts<'_>> {
    let (scheme, behind) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
    let authority = behind[..end].rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let own = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let authority = if own.is_empty() { authority } else { authority.trim_end_matches(own).to_owned() };
    Some(Parts { scheme, authority, rest: &behind[end..] })
}

/// Whether a page's address is one that is awaited. A whole address is the beginning of the page's, with the same host and port; a
/// text that begins with `/` is the beginning of path, query and fragment; another stands anywhere in host and path, never in
/// the query, into which another page could write it.
#[must_use]
pub fn matches(wanted: &str, url: &str) -> bool {
    let wanted = wanted.trim();
    let Some(page) = parts(url) else { return wanted == url };
    let path = if page.rest.starts_with('/') { page.rest.to_owned() } else { format!("/{}", page.rest) };
    if let Some(whole) = parts(wanted) {
        let rest = if whole.rest.is_empty() { "/" } else { whole.rest };
        return whole.scheme == page.scheme && whole.authority == page.authority && path.starts_with(rest);
    }
    if wanted.starts_with('/') {
        return path.starts_with(wanted);
    }
    let end = path.find(['?', '#']).unwrap_or(path.len());
    format!("{}{}", page.authority, &path[..end]).contains(&wanted.to_ascii_lowercase())
        || format!("{}{}", page.authority, &path[..end]).contains(wanted)
}

/// Whether two addresses are of the same page.
#[must_use]
pub fn same_address(one: &str, other: &str) -> bool {
    matches(one, other) && matches(other, one)
}

/// The whole address of a link in a page (RFC 3986, section 5.2, without dot segments, which a browser resolves).
#[must_use]
pub fn resolve(page: &str, link: &str) -> String {
    let link = link.trim();
    let Some(base) = parts(page).filter(|_| parts(link).is_none()) else { return link.to_owned() };
    let origin_end = page.len() - base.rest.len();
    let (origin, rest) = page.split_at(origin_end);
    let path_end = rest.find(['?', '#']).unwrap_or(rest.len());
    let path = if path_end == 0 { "/" } else { &rest[..path_end] };
    if let Some(behind) = link.strip_prefix("//") {
        return format!("{}://{behind}", base.scheme);
    }
    if link.starts_with('/') {
        return format!("{origin}{link}");
    }
    match link.chars().next() {
        None => page.to_owned(),
        Some('#') => format!("{origin}{}{link}", &rest[..rest.find('#').unwrap_or(rest.len())]),
        Some('?') => format!("{origin}{path}{link}"),
        Some(_) => format!("{origin}{}{link}", &path[..=path.rfind('/').unwrap_or(0)]),
    }
}

/// The address without its query and fragment, where a page may put secrets.
#[must_use]
pub fn without_query(url: &str) -> &str {
    &url[..url.find(['?', '#']).unwrap_or(url.len())]
}

/// Whether what is typed into this page goes over the network in the clear.
#[must_use]
pub fn is_plain(url: &str) -> bool {
    parts(url).is_some_and(|page| page.scheme == "http")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_beginning_of_the_pages_and_never_of_another_host() {
        let page = "https://wiki.example:8443/index.php?title=Special:UserLogin#top";
        assert!(matches("https://wiki.example:8443", page));
        assert!(matches("https://WIKI.example:8443/index.php?title=", page));
        assert!(matches("/index.php?title=Special", page));
        assert!(matches("wiki.example", page) && matches("index.php", page));
        assert!(!matches("https://wiki.example", page), "another port");
        assert!(!matches("https://wiki.exam", "https://wiki.example/"), "half a host's name");
        assert!(!matches("http://wiki.example:8443/", page));
        assert!(!matches("/index.php", "https://evil.example/x?/index.php"));
        assert!(!matches("wiki.example", "https://evil.example/?wiki.example"), "a query is written by anybody");
        assert!(matches("https://a.example/", "https://a.example:443/home"));
        assert!(matches("/?pli=1", "https://a.example?pli=1"));
    }

    #[test]
    fn a_link_goes_where_the_browser_would_go() {
        let page = "https://a.example:8443/ui/login?x=1#y";
        assert_eq!(resolve(page, "/account"), "https://a.example:8443/account");
        assert_eq!(resolve(page, "password"), "https://a.example:8443/ui/password");
        assert_eq!(resolve(page, "?tab=2"), "https://a.example:8443/ui/login?tab=2");
        assert_eq!(resolve(page, "#/login"), "https://a.example:8443/ui/login?x=1#/login");
        assert_eq!(resolve(page, "//b.example/"), "https://b.example/");
        assert_eq!(resolve(page, "https://b.example/z"), "https://b.example/z");
        assert_eq!(resolve("https://a.example", "x"), "https://a.example/x");
        assert_eq!(without_query(page), "https://a.example:8443/ui/login");
    }
}
