//! What a device says about a login: that it refuses what was sent, that the account is not let in for now, that a new
//! password is due, or that a person has to do something. Wordings are data, with their language and source.
//!
//! A line that tells of the past («Last failed login: …») or of rules («Invalid attempts are logged») is no verdict.

use super::closed;
use super::index::Table;

/// What was sent is not right. A login that says so judged the password or the code.
#[rustfmt::skip]
pub(super) static CREDENTIALS: Table = Table::of(&[
    ("incorrect", "en", "login(1)"),
    ("invalid", "en", "RADIUS replies"),
    ("wrong", "en", "appliances"),
    ("not correct", "en", "appliances"),
    ("not valid", "en", "appliances"),
    ("bad password", "en", "network operating systems"),
    ("bad passcode", "en", "RSA SecurID"),
    ("bad code", "en", "portals"),
    ("does not match", "en", "appliances"),
    ("mismatch", "en", "appliances"),
    ("not recognized", "en", "appliances"),
    ("not recognised", "en", "appliances"),
    ("falsch", "de", "appliances"), ("falsches", "de", "appliances"), ("ungültig", "de", "appliances"),
    ("ungültiges", "de", "appliances"), ("ungültiger", "de", "appliances"), ("nicht korrekt", "de", "appliances"),
    ("incorrecte", "fr", "appliances"), ("invalide", "fr", "appliances"), ("erroné", "fr", "appliances"),
    ("incorrecta", "es", "appliances"), ("incorrecto", "es", "appliances"), ("inválida", "es", "appliances"),
    ("inválido", "es", "appliances"), ("no válida", "es", "appliances"), ("no válido", "es", "appliances"),
    ("incorreta", "pt", "appliances"), ("incorreto", "pt", "appliances"), ("errada", "pt", "appliances"),
    ("errata", "it", "appliances"), ("errato", "it", "appliances"), ("non valida", "it", "appliances"),
    ("non valido", "it", "appliances"), ("non corretta", "it", "appliances"),
    ("nieprawidłowe", "pl", "appliances"), ("nieprawidłowy", "pl", "appliances"), ("błędne", "pl", "appliances"),
    ("błędny", "pl", "appliances"),
    ("onjuist", "nl", "appliances"), ("ongeldig", "nl", "appliances"), ("fel lösenord", "sv", "appliances"),
    ("неверный", "ru", "appliances"), ("неправильный", "ru", "appliances"), ("недействительный", "ru", "appliances"),
    ("错误", "zh-CN", "bastions"), ("不正确", "zh-CN", "bastions"), ("無效", "zh-TW", "appliances"),
    ("无效", "zh-CN", "bastions"), ("錯誤", "zh-TW", "appliances"),
    ("正しくありません", "ja", "appliances"), ("間違", "ja", "appliances"), ("無効", "ja", "appliances"),
    ("올바르지", "ko", "appliances"), ("잘못", "ko", "appliances"),
]);

/// It is not let in; why is not told.
#[rustfmt::skip]
static FAILURES: Table = Table::of(&[
    ("try again", "en", "OpenSSH, appliances"),
    ("retry", "en", "appliances"),
    ("denied", "en", "OpenSSH, appliances"),
    ("failed", "en", "appliances"),
    ("failure", "en", "Linux-PAM"),
    ("not accepted", "en", "RSA SecurID"),
    ("rejected", "en", "RADIUS replies"),
    ("refused", "en", "appliances"),
    ("unsuccessful", "en", "appliances"),
    ("authentication error", "en", "appliances"),
    ("not authenticated", "en", "appliances"),
    ("unable to authenticate", "en", "appliances"),
    ("cannot authenticate", "en", "appliances"),
    ("verweigert", "de", "Linux-PAM"), ("fehlgeschlagen", "de", "appliances"), ("fehler bei authentifizierung", "de", "Linux-PAM"),
    ("erneut versuchen", "de", "appliances"), ("versuchen sie es erneut", "de", "appliances"),
    ("abgelehnt", "de", "appliances"),
    ("refusée", "fr", "Linux-PAM"), ("refusé", "fr", "appliances"), ("échec", "fr", "Linux-PAM"), ("échoué", "fr", "appliances"),
    ("réessayez", "fr", "appliances"), ("veuillez réessayer", "fr", "appliances"),
    ("denegado", "es", "Linux-PAM"), ("fallo de autenticación", "es", "Linux-PAM"), ("rechazada", "es", "appliances"),
    ("inténtelo de nuevo", "es", "appliances"), ("intente de nuevo", "es", "appliances"), ("vuelva a intentar", "es", "appliances"),
    ("negada", "pt", "Linux-PAM"), ("negado", "pt", "appliances"), ("falha de autenticação", "pt", "Linux-PAM"),
    ("tente novamente", "pt", "appliances"),
    ("negato", "it", "Linux-PAM"), ("non riuscita", "it", "Linux-PAM"), ("riprova", "it", "appliances"), ("riprovare", "it", "appliances"),
    ("odmowa", "pl", "appliances"), ("brak dostępu", "pl", "Linux-PAM"), ("nie powiodło", "pl", "Linux-PAM"),
    ("spróbuj ponownie", "pl", "appliances"),
    ("geweigerd", "nl", "Linux-PAM"), ("authenticatiefout", "nl", "Linux-PAM"), ("nekad", "sv", "Linux-PAM"),
    ("autentiseringsfel", "sv", "Linux-PAM"), ("selhání", "cs", "Linux-PAM"), ("zamítnut", "cs", "Linux-PAM"),
    ("запрещен", "ru", "Linux-PAM"), ("сбой", "ru", "Linux-PAM"), ("отказано", "ru", "appliances"),
    ("попробуйте еще раз", "ru", "appliances"), ("повторите попытку", "ru", "appliances"),
    ("失败", "zh-CN", "bastions"), ("重试", "zh-CN", "bastions"), ("拒绝", "zh-CN", "Linux-PAM"), ("故障", "zh-CN", "Linux-PAM"),
    ("失敗", "ja", "Linux-PAM"), ("拒否", "ja", "Linux-PAM"), ("拒絕", "zh-TW", "Linux-PAM"),
    ("실패", "ko", "Linux-PAM"), ("거부", "ko", "Linux-PAM"),
]);

/// Parts of lines that tell of the past, or of rules.
#[rustfmt::skip]
static NO_VERDICT: Table = Table::of(&[
    ("last failed", "en", "pam_lastlog"), ("since the last", "en", "pam_lastlog"), ("since last", "en", "AIX, RHEL"),
    ("last unsuccessful", "en", "AIX"), ("since your last", "en", "appliances"), ("previous failed", "en", "appliances"),
    ("failed logins:", "en", "appliances"), ("failed login attempts:", "en", "appliances"),
    ("failed attempts:", "en", "appliances"), ("number of failed", "en", "appliances"), ("last login", "en", "login(1)"),
    ("letzte fehlgeschlagene", "de", "Linux-PAM"), ("seit der letzten", "de", "Linux-PAM"),
    ("dernière connexion", "fr", "Linux-PAM"), ("desde el último", "es", "Linux-PAM"),
    ("último inicio de sesión", "es", "Linux-PAM"), ("desde o último", "pt", "Linux-PAM"),
    ("último início", "pt", "Linux-PAM"), ("no último login", "pt-BR", "Linux-PAM"),
    ("ultimo accesso", "it", "Linux-PAM"), ("ostatnie nieudane", "pl", "Linux-PAM"),
    ("od ostatniego", "pl", "Linux-PAM"), ("laatste", "nl", "Linux-PAM"), ("senaste", "sv", "Linux-PAM"),
    ("poslední", "cs", "Linux-PAM"), ("последн", "ru", "Linux-PAM"), ("最后一次", "zh-CN", "Linux-PAM"),
    ("自上次", "zh-CN", "Linux-PAM"), ("上一次", "zh-TW", "Linux-PAM"), ("自從上次", "zh-TW", "Linux-PAM"),
    ("最後の", "ja", "Linux-PAM"), ("마지막", "ko", "Linux-PAM"),
    ("unauthorized", "en", "login banners"), ("unauthorised", "en", "login banners"),
    ("prohibited", "en", "login banners"), ("prosecut", "en", "login banners"), ("monitored", "en", "login banners"),
    ("are logged", "en", "login banners"), ("be logged", "en", "login banners"), ("are recorded", "en", "login banners"),
    (" will ", "en", "login banners"), (" if ", "en", "login banners"), (" may ", "en", "login banners"),
    (" before ", "en", "appliances"), (" to avoid ", "en", "appliances"), (" to prevent ", "en", "appliances"),
    (" in case ", "en", "login banners"), ("previous login failures", "en", "appliances"), ("login failures since", "en", "appliances"),
]);

/// The account itself is shut: locked, expired, disabled.
#[rustfmt::skip]
pub(super) static SHUT: Table = Table::of(&[
    ("account is locked", "en", "pam_faillock"), ("account locked", "en", "pam_tally2"),
    ("account has been locked", "en", "appliances"), ("account is temporarily locked", "en", "pam_tally"),
    ("temporarily locked", "en", "pam_faillock"), ("locked due to", "en", "pam_faillock"),
    ("is locked out", "en", "Windows"), ("been locked out", "en", "Windows"), ("user is locked", "en", "Junos"),
    ("too many login failures", "en", "FortiOS"), ("user locked", "en", "appliances"), ("temporarily blocked", "en", "appliances"), ("is blocked", "en", "appliances"),
    ("account has expired", "en", "pam_unix"), ("account expired", "en", "Windows"), ("account is expired", "en", "appliances"),
    ("account is disabled", "en", "Windows"), ("account disabled", "en", "Windows"), ("account has been disabled", "en", "Windows"),
    ("account is inactive", "en", "appliances"), ("account is not active", "en", "appliances"),
    ("account is suspended", "en", "appliances"),
    ("konto ist abgelaufen", "de", "Linux-PAM"), ("gesperrt", "de", "Linux-PAM"), ("compte a expiré", "fr", "Linux-PAM"),
    ("verrouillé", "fr", "Linux-PAM"), ("cuenta está bloqueada", "es", "Linux-PAM"), ("cuenta bloqueada", "es", "appliances"),
    ("conta expirou", "pt", "Linux-PAM"), ("conta bloqueada", "pt", "Linux-PAM"), ("account scaduto", "it", "Linux-PAM"),
    ("account bloccato", "it", "Linux-PAM"), ("konto wygasło", "pl", "Linux-PAM"), ("zablokowane", "pl", "Linux-PAM"),
    ("account is verlopen", "nl", "Linux-PAM"), ("vergrendeld", "nl", "Linux-PAM"), ("kontot är låst", "sv", "Linux-PAM"),
    ("konto har förfallit", "sv", "Linux-PAM"), ("účet vypršel", "cs", "Linux-PAM"), ("je uzamčen", "cs", "Linux-PAM"),
    ("учетной записи истек", "ru", "Linux-PAM"), ("запись заблокирована", "ru", "Linux-PAM"),
    ("已锁定", "zh-CN", "Linux-PAM"), ("被锁定", "zh-CN", "bastions"), ("帐户已过期", "zh-CN", "Linux-PAM"), ("账号已过期", "zh-CN", "bastions"),
    ("已鎖定", "zh-TW", "Linux-PAM"), ("帳戶已經過期", "zh-TW", "Linux-PAM"), ("ロックされ", "ja", "appliances"),
    ("계정이 만료", "ko", "Linux-PAM"), ("계정이 잠", "ko", "Linux-PAM"),
    ("minutes left to unlock", "en", "pam_faillock"), ("currently locked out", "en", "Windows, winbind"), ("locked out due to", "en", "Duo"),
    ("account locked out", "en", "winbind"), ("account is currently locked", "en", "appliances"), ("account is currently disabled", "en", "Windows, winbind"),
    ("account has been suspended", "en", "appliances"), ("account has been blocked", "en", "appliances"), ("user has been locked", "en", "network operating systems"),
    ("user has been blocked", "en", "network operating systems"), ("user account is locked", "en", "NX-OS"), ("user is blocked", "en", "network operating systems"),
    ("too many unsuccessful login attempts", "en", "AIX, loginrestrictions"), ("too many failed login attempts", "en", "appliances"),
    ("too many failed logins", "en", "appliances"), ("logins are not allowed for this account", "en", "AIX, loginrestrictions"),
    ("has been locked for", "en", "ESXi"), ("login blocked", "en", "IOS quiet mode"), ("temporary locked", "en", "pam_tally2"),
    ("locked out", "en", "appliances"), ("lockout period", "en", "appliances"), ("lockout state", "en", "appliances"),
    ("lockout in effect", "en", "appliances"), ("failcounter exceeded", "en", "privacyIDEA"), ("failcount exceeded", "en", "privacyIDEA"),
    ("due to too many failed attempts", "en", "appliances"),
    ("due to too many failures", "en", "appliances"), ("已禁用", "zh-CN", "bastions"), ("被禁用", "zh-CN", "bastions"), ("用户已过期", "zh-CN", "bastions"),
]);

/// Nobody more is let in: what there is a bounded number of is in use. That may be over within seconds.
#[rustfmt::skip]
pub(super) static FULL: Table = Table::of(&[
    ("exceeded maxstartups", "en", "OpenSSH"), ("too many sessions", "en", "appliances"), ("too many logins", "en", "pam_limits"),
    ("too many users", "en", "network operating systems"), ("too many connections", "en", "appliances"),
    ("too many concurrent", "en", "pam_google_authenticator, appliances"), ("too many active", "en", "appliances"),
    ("too many simultaneous", "en", "FreeRADIUS"), ("already logged in", "en", "FreeRADIUS"),
    ("maximum number of sessions", "en", "network operating systems"), ("maximum number of users", "en", "network operating systems"),
    ("maximum number of user sessions", "en", "iDRAC"), ("maximum number of connections", "en", "appliances"), ("maximum number of concurrent", "en", "appliances"),
    ("maximum sessions", "en", "appliances"), ("maximum users", "en", "appliances"), ("max sessions", "en", "appliances"),
    ("session limit", "en", "appliances"), ("sessions limit", "en", "appliances"), ("connection limit", "en", "appliances"),
    ("limit of sessions", "en", "appliances"), ("no more sessions", "en", "appliances"), ("no free", "en", "network operating systems"),
    ("no available", "en", "network operating systems"), ("all sessions are", "en", "appliances"), ("sessions are in use", "en", "appliances"),
    ("session is active", "en", "iLO, iDRAC"), ("resource shortage", "en", "appliances"), ("server is busy", "en", "appliances"),
    ("system is busy", "en", "appliances"), ("device is busy", "en", "appliances"), ("server too busy", "en", "appliances"),
    ("overloaded", "en", "appliances"), ("zu viele anmeldungen", "de", "Linux-PAM"), ("zu viele sitzungen", "de", "appliances"),
    ("trop de connexions", "fr", "Linux-PAM"), ("demasiadas sesiones", "es", "appliances"), ("demasiados inícios", "pt", "Linux-PAM"),
    ("logins demais", "pt-BR", "Linux-PAM"), ("troppi accessi", "it", "Linux-PAM"), ("za dużo prób", "pl", "Linux-PAM"),
    ("会话数", "zh-CN", "Huawei VRP"), ("登录次数过多", "zh-CN", "Linux-PAM"), ("用户数已达", "zh-CN", "Huawei VRP"),
]);

/// Nobody, or nobody more, is let in for now.
#[rustfmt::skip]
pub(super) static CLOSED: Table = Table::of(&[
    ("is booting up", "en", "systemd, pam_nologin"), ("not permitted to log in yet", "en", "systemd, pam_nologin"),
    ("is going down", "en", "shutdown(8), pam_nologin"), ("users are not permitted to log in", "en", "pam_nologin"),
    ("no longer permitted to log in", "en", "systemd"), ("under maintenance", "en", "appliances"), ("maintenance mode", "en", "appliances"),
    ("in maintenance", "en", "appliances"), ("for maintenance", "en", "appliances"), ("scheduled maintenance", "en", "appliances"),
    ("logins are disabled", "en", "appliances"), ("logins are currently", "en", "appliances"), ("login is disabled", "en", "appliances"),
    ("logins disabled", "en", "nologin(5)"), ("no logins", "en", "nologin(5)"), ("is shutting down", "en", "appliances"),
    ("is rebooting", "en", "appliances"), ("wartung", "de", "appliances"), ("wartungsarbeiten", "de", "appliances"),
    ("en maintenance", "fr", "appliances"), ("en mantenimiento", "es", "appliances"), ("维护", "zh-CN", "bastions"),
    ("メンテナンス", "ja", "appliances"),
    ("not allowed at this time", "en", "OpenSSH PerSourcePenalties"), ("not permitted at this time", "en", "pam_time"),
    ("not allowed to access at this time", "en", "pam_time"), ("not allowed to log in at this time", "en", "appliances"),
    ("not allowed to log on at this time", "en", "winbind"), ("not allowed to login at this time", "en", "AIX, loginrestrictions"),
    ("not permitted to log on at this time", "en", "Active Directory"), ("cannot be used to log on at this time", "en", "Windows"),
    ("not authorized to log in at this time", "en", "OpenVMS"), ("can not be used at this time", "en", "AIX"),
    ("no logon servers", "en", "winbind"), ("at this time of day", "en", "Windows"), ("outside of allowed hours", "en", "appliances"), ("outside the allowed", "en", "appliances"),
    ("outside allowed", "en", "appliances"), ("logon hours", "en", "Windows"), ("login hours", "en", "TACACS+"),
    ("allowed hours", "en", "appliances"), ("time restriction", "en", "Windows"), ("not within allowed", "en", "RADIUS rlm_logintime"),
    ("outside allowed timespan", "en", "FreeRADIUS rlm_logintime"),
    ("server unreachable", "en", "AAA clients"), ("server is unreachable", "en", "AAA clients"), ("servers unreachable", "en", "AAA clients"),
    ("server not responding", "en", "AAA clients"), ("server is not responding", "en", "AAA clients"), ("no response from", "en", "AAA clients"),
    ("not reachable", "en", "AAA clients"), ("servers are unreachable", "en", "AAA clients"), ("servers are not", "en", "AAA clients"),
    ("server timeout", "en", "AAA clients"), ("server timed out", "en", "AAA clients"), ("server is down", "en", "AAA clients"),
    ("server unavailable", "en", "AAA clients"), ("server is unavailable", "en", "AAA clients"),
    ("server is not available", "en", "AAA clients"), ("service unavailable", "en", "AAA clients"),
    ("service is unavailable", "en", "AAA clients"), ("service is not available", "en", "AAA clients"),
    ("temporarily unavailable", "en", "AAA clients"), ("cannot retrieve authentication", "en", "Linux-PAM"),
    ("cannot make/remove an entry", "en", "Linux-PAM"), ("cannot contact", "en", "SSSD, AAA clients"),
    ("no authentication server", "en", "AAA clients"), ("system is offline", "en", "SSSD"),
    ("allowed timespan", "en", "FreeRADIUS rlm_logintime"), ("usage time has been reached", "en", "FreeRADIUS rlm_sqlcounter"),
    ("internal error", "en", "appliances"), ("internal server error", "en", "appliances"), ("system error", "en", "Linux-PAM"),
    ("out of memory", "en", "appliances"), ("no space left", "en", "Unix"), ("disk full", "en", "appliances"),
    ("insufficient resources", "en", "appliances"), ("heavy load", "en", "appliances"), ("rate limit", "en", "appliances"),
    ("too many open", "en", "appliances"), ("simultaneous login", "en", "appliances"), ("license expired", "en", "appliances"),
    ("license has expired", "en", "appliances"), ("no radius server", "en", "AAA clients"), ("error reaching", "en", "AAA clients"),
    ("open duo api handle", "en", "Duo"), ("maintenance in progress", "en", "appliances"), ("system is not ready", "en", "appliances"),
    ("system not ready", "en", "appliances"), ("is initializing", "en", "appliances"), ("initialization in progress", "en", "appliances"),
    ("is starting up", "en", "appliances"), ("restart in progress", "en", "appliances"), ("reboot in progress", "en", "appliances"),
    ("update in progress", "en", "appliances"), ("upgrade in progress", "en", "appliances"), ("is upgrading", "en", "appliances"),
    ("standby unit", "en", "firewalls in pairs"), ("standby state", "en", "controllers in pairs"), ("standby supervisor", "en", "NX-OS"),
    ("standby mode", "en", "firewalls in pairs"), ("active controller", "en", "controllers in pairs"),
    ("logins from this", "en", "appliances"), ("access from this", "en", "appliances"), ("allowed from this", "en", "appliances"),
    ("permitted from this", "en", "appliances"), ("log in from this", "en", "Windows"), ("on this terminal", "en", "login(1)"),
    ("access control policy", "en", "pam_access"), ("by pam account configuration", "en", "sshd"), ("by authentication policy", "en", "appliances"),
    ("not listed in allowusers", "en", "sshd"), ("permission to log in", "en", "appliances"), ("not permitted to log in", "en", "appliances"),
    ("not allowed to log in", "en", "appliances"), ("not authorized to log in", "en", "appliances"), ("not authorized to login", "en", "appliances"),
    ("not authorized for this", "en", "appliances"), ("authorization failed", "en", "IOS AAA"), ("no shell access", "en", "portals"),
    ("have been blocked", "en", "appliances"), ("has been banned", "en", "appliances"),
]);

/// The password in force was taken, and a new one is due.
#[rustfmt::skip]
pub(super) static EXPIRED: Table = Table::of(&[
    ("password has expired", "en", "sshd, Windows"), ("password expired", "en", "pam_unix, network operating systems"),
    ("password is expired", "en", "appliances"), ("expired password", "en", "appliances"), ("password aged", "en", "pam_unix"),
    ("has expired and must be changed", "en", "Windows"), ("must be changed", "en", "Windows"), ("must change your password", "en", "sshd"),
    ("must change the password", "en", "appliances"), ("must change password", "en", "appliances"), ("need to change your password", "en", "appliances"),
    ("needs to be changed", "en", "Huawei VRP"), ("required to change", "en", "pam_unix"), ("forced to change", "en", "FortiOS"),
    ("change your password now", "en", "appliances"), ("change your password immediately", "en", "pam_unix"),
    ("please change your password", "en", "TACACS+"), ("password change required", "en", "appliances"),
    ("password change is required", "en", "appliances"), ("password reset required", "en", "appliances"), ("has to be changed", "en", "appliances"),
    ("administrator enforced", "en", "pam_unix"), ("root enforced", "en", "pam_unix"),
    ("passwort sofort ändern", "de", "Linux-PAM"), ("passwort ist abgelaufen", "de", "appliances"), ("passwortablauf", "de", "Linux-PAM"),
    ("mot de passe expiré", "fr", "Linux-PAM"), ("mot de passe a expiré", "fr", "appliances"), ("changer votre mot de passe", "fr", "Linux-PAM"),
    ("contraseña ha caducado", "es", "appliances"), ("contraseña ha expirado", "es", "appliances"), ("cambiar su contraseña", "es", "appliances"),
    ("altere de imediato", "pt", "Linux-PAM"), ("senha expirada", "pt-BR", "Linux-PAM"), ("mude sua senha", "pt-BR", "Linux-PAM"),
    ("password scaduta", "it", "Linux-PAM"), ("modifica immediata della password", "it", "Linux-PAM"),
    ("hasło wygasło", "pl", "Linux-PAM"), ("zmiana hasła", "pl", "Linux-PAM"), ("密码已经过期", "zh-CN", "Linux-PAM"),
    ("密码已过期", "zh-CN", "appliances"), ("必须立即更改密码", "zh-CN", "Linux-PAM"), ("密碼已經過期", "zh-TW", "Linux-PAM"),
    ("パスワードの有効期限", "ja", "appliances"), ("пароль устарел", "ru", "Linux-PAM"), ("сменить пароль", "ru", "Linux-PAM"),
    ("wachtwoord is verouderd", "nl", "Linux-PAM"), ("암호 기한이 끝났", "ko", "Linux-PAM"),
    ("must set a new password", "en", "appliances"), ("must choose a new password", "en", "appliances"), ("set a new password before", "en", "ASA"),
    ("required to set a new password", "en", "appliances"), ("required that you change your password", "en", "appliances"),
    ("password change is mandatory", "en", "appliances"), ("password needs to be reset", "en", "appliances"),
    ("password must be reset", "en", "appliances"), ("password is too old", "en", "appliances"),
    ("first login: change your password", "en", "appliances"), ("have to change your password", "en", "appliances"),
]);

/// A person has to do something, elsewhere.
#[rustfmt::skip]
pub(super) static PERSON: Table = Table::of(&[
    ("approve", "en", "Microsoft, Okta"), ("push notification", "en", "Okta, FortiAuthenticator"), ("push request", "en", "privacyIDEA"),
    ("a push", "en", "privacyIDEA"), ("pushed a login request", "en", "Duo"), ("pushed", "en", "Duo"), ("respond to the", "en", "Okta"),
    ("notification has been sent", "en", "Okta"), ("notification sent", "en", "Okta"), ("sent a notification", "en", "Microsoft"),
    ("confirm the login", "en", "privacyIDEA"), ("confirm the authentication", "en", "privacyIDEA"), ("confirm on your", "en", "privacyIDEA"),
    ("on your phone", "en", "Okta"), ("on your mobile", "en", "Okta"), ("on your device", "en", "portals"), ("on your smartphone", "en", "privacyIDEA"),
    ("web browser", "en", "Azure AD pam"), ("in your browser", "en", "Warpgate"), ("following url", "en", "Warpgate"), ("devicelogin", "en", "Azure AD pam"),
    ("scan the", "en", "portals"), ("qr code", "en", "portals"), ("phone call", "en", "Duo"),
    ("calling your", "en", "Duo"), ("touch your", "en", "FIDO keys"), ("touch the", "en", "FIDO keys"), ("insert your security key", "en", "FIDO keys"),
    ("select the number", "en", "Microsoft"), ("tap the number", "en", "Microsoft"), ("tap ", "en", "Okta"), ("match the number", "en", "Okta"),
    ("bestätigen sie die", "de", "Microsoft"), ("auf ihrem smartphone", "de", "privacyIDEA"), ("genehmigen", "de", "Microsoft"),
    ("approuvez", "fr", "Microsoft"), ("sur votre téléphone", "fr", "portals"), ("apruebe", "es", "Microsoft"), ("aprobar", "es", "Microsoft"),
    ("en su teléfono", "es", "portals"), ("aprove", "pt", "Microsoft"), ("approva", "it", "Microsoft"), ("zatwierdź", "pl", "Microsoft"),
    ("承認", "ja", "Microsoft"), ("批准", "zh-CN", "Microsoft"), ("推送", "zh-CN", "bastions"),
    ("approving", "en", "portals"), ("waiting for approval", "en", "portals"), ("for your approval", "en", "portals"), ("u2f device", "en", "pam_u2f"),
    ("fido device", "en", "FIDO keys"), ("fido2 device", "en", "FIDO keys"), ("security key and", "en", "FIDO keys"), ("check your phone", "en", "portals"),
    ("request was sent to your", "en", "portals"), ("request has been sent to your", "en", "portals"), ("request sent to your", "en", "portals"),
    ("sending push", "en", "portals"), ("push sent", "en", "portals"), ("autopushing", "en", "Duo"), ("login request to", "en", "Duo"),
    ("authenticator app and confirm", "en", "portals"), ("login/device", "en", "device code logins"), ("in a browser", "en", "device code logins"),
]);

/// A code that is made elsewhere and sent to a person.
#[rustfmt::skip]
pub(super) static SENT: Table = Table::of(&[
    ("via sms", "en", "RADIUS replies"), ("by sms", "en", "RADIUS replies"), ("sms code", "en", "portals"), ("sms passcode", "en", "Duo"),
    ("text message", "en", "RADIUS replies"), ("sent to your phone", "en", "RADIUS replies"), ("sent to your mobile", "en", "RADIUS replies"),
    ("sent to your email", "en", "RADIUS replies"), ("sent to your e mail", "en", "RADIUS replies"), ("by email", "en", "RADIUS replies"),
    ("via email", "en", "RADIUS replies"), ("emailed to you", "en", "RADIUS replies"), ("texted to you", "en", "RADIUS replies"),
    ("per sms", "de", "portals"), ("par sms", "fr", "portals"), ("por sms", "es", "portals"), ("tramite sms", "it", "portals"),
    ("sms otp", "en", "portals"), ("email otp", "en", "portals"), ("email code", "en", "portals"), ("e mail code", "en", "portals"),
    ("mail code", "en", "portals"), ("from the sms", "en", "privacyIDEA"), ("from sms", "en", "portals"), ("from the email", "en", "privacyIDEA"),
    ("from your email", "en", "portals"), ("from email", "en", "portals"), ("in the sms", "en", "portals"), ("in the email", "en", "portals"),
    ("sent to", "en", "portals"), ("code sent", "en", "portals"), ("we sent", "en", "portals"), ("passcode sent", "en", "portals"),
    ("短信验证码", "zh-CN", "bastions"), ("手机验证码", "zh-CN", "bastions"), ("邮箱验证码", "zh-CN", "bastions"), ("短信", "zh-CN", "bastions"),
]);

/// Characters of a text that are read, from its end.
const MOST: usize = 8192;

/// A line in lower case, with a blank for each run of what is neither letter nor digit, and one at both ends.
fn spaced(line: &str) -> String {
    let mut out = String::from(" ");
    for c in line.to_lowercase().chars() {
        let kept = c.is_alphanumeric() || ":/'’".contains(c);
        if kept {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    if !out.ends_with(' ') {
        out.push(' ');
    }
    out
}

/// Whether a wording of a table occurs in such a line, as whole words where its script has blanks.
fn has(line: &str, table: &'static Table) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() || super::is_unspaced(c));
    table.met_in(line).any(|(before, wording, behind)| {
        wording.chars().next().is_some_and(super::is_unspaced)
            || ends(before.chars().next_back()) && (ends(behind.chars().next()) || wording.ends_with(' '))
    })
}

/// A row of each such wording says that another code is wanted, and that the one before was no mistake.
#[rustfmt::skip]
pub(super) static NEXT_CODE: Table = Table::of(&[
    ("next tokencode", "en", "RSA SecurID"), ("next token code", "en", "RSA SecurID"), ("next passcode", "en", "Cisco ASA"),
    ("next code", "en", "RADIUS replies"), ("next token", "en", "RADIUS replies"),
    ("wait for the tokencode to change", "en", "RSA ACE agent"), ("wait for the token code to change", "en", "RSA ACE agent"),
    ("wait for token to change", "en", "RADIUS replies"), ("wait for the token to change", "en", "RADIUS replies"),
    ("wait for the code to change", "en", "RADIUS replies"),
]);

/// Whether a text asks for the code after the one that was given. A token that has drifted is set right so.
pub(crate) fn wants_next_code(text: &str) -> bool {
    // «next code starts with: 9» tells which of the codes of a text message is due.
    each_line(text).any(|line| has(&line, &NEXT_CODE) && !line.contains(" starts with"))
}

fn tells(line: &str) -> bool {
    NO_VERDICT.met_in(line).next().is_some()
}

fn raw_lines(text: &str) -> impl Iterator<Item = &str> {
    let surplus = text.chars().count().saturating_sub(MOST);
    let from = text.char_indices().nth(surplus).map_or(0, |(at, _)| at);
    text[from..].split(['\n', '\r'])
}

fn each_line(text: &str) -> impl Iterator<Item = String> + '_ {
    raw_lines(text).map(spaced)
}

/// Whether a text says that what was sent is refused.
pub(crate) fn is_refusal(text: &str) -> bool {
    is_judged(text, |part| has(part, &CREDENTIALS) || has(part, &FAILURES))
}

/// Whether a text says that the password or the code itself is wrong.
#[must_use]
pub fn judges_credentials(text: &str) -> bool {
    is_judged(text, |part| has(part, &CREDENTIALS))
}

/// Whether a sentence of the text has such words, and neither asks, counts, nor tells of rules or the past.
fn is_judged(text: &str, what: impl Fn(&str) -> bool) -> bool {
    let judges = |part: String| !tells(&part) && what(&closed::without_counts(&part));
    let lines = raw_lines(text).filter(|line| !is_told_as_past(line));
    lines.flat_map(said).map(spaced).any(judges)
}

/// Whether a line as a whole tells of the past: «Last failed login: Mon. From 192.0.2.1», a banner in several sentences.
fn is_told_as_past(line: &str) -> bool {
    const RULES: [&str; 9] =
        [" will ", " if ", " may ", " before ", " to avoid ", " to prevent ", " in case ", "are logged", "be logged"];
    let line = spaced(line);
    NO_VERDICT.met_in(&line).any(|(_, part, _)| !RULES.contains(&part))
}

/// The sentences of a line that are no questions: «Login denied? Call us.» judges nothing.
fn said(line: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| matches!(c, '.' | ';' | '!' | '?');
    let mut rest = line;
    let parts = std::iter::from_fn(move || {
        let end = rest.char_indices().find(|&(at, c)| ends(c) && rest[at + c.len_utf8()..].starts_with([' ', '\t']));
        let (part, behind) = rest.split_at(end.map_or(rest.len(), |(at, c)| at + c.len_utf8()));
        rest = behind;
        (!part.is_empty()).then_some(part)
    });
    parts.filter(|part| !part.trim_end().ends_with('?'))
}

/// Whether a text says that the account is not let in for now, for a reason that is neither the password nor the code:
/// it is locked, expired or disabled, the host boots or is in maintenance, the hour is wrong, there is no room for a
/// session, the source is penalised, or the server that judges does not answer.
#[must_use]
pub fn is_account_level(text: &str) -> bool {
    let wrong = |part: &str| has(&closed::without_counts(part), &CREDENTIALS);
    let later = |part: &str| closed::is_for_later(part) && !has(&without_retry(part), &FAILURES);
    let shut = |part: &str| says_shut(part) || has(part, &CLOSED) || closed::is_unanswered(part) || says_full(part);
    (is_told(text, shut) || is_told(text, later) && !is_refusal(&without_retry(&spaced(text))))
        && !is_told(text, |part| wrong(part) && !is_about(part, shut))
}

fn says_shut(part: &str) -> bool {
    (has(part, &SHUT) || closed::is_shut(part)) && !closed::is_rule(part)
}

fn says_full(part: &str) -> bool {
    has(part, &FULL) || closed::is_full(part)
}

/// Whether a text says that there is no room for one more session now, and nothing else that keeps the account out: what is in use
/// may be free within seconds.
#[must_use]
pub fn is_full(text: &str) -> bool {
    is_told(text, says_full) && is_account_level(text) && !is_told(text, says_shut)
}

/// Without the request to try again, which is no verdict where it says when.
fn without_retry(part: &str) -> String {
    part.replace(" try again ", " ").replace(" retry ", " ").replace(" trying again ", " ")
}

/// Whether a text says that the account itself is shut: locked, expired or disabled.
pub(crate) fn is_shut(text: &str) -> bool {
    is_told(text, says_shut) && is_account_level(text)
}

/// Whether a sentence tells of this, and of nothing else: «locked due to 5 wrong passwords», not «wrong password or locked».
fn is_about(part: &str, what: impl Fn(&str) -> bool) -> bool {
    what(part) && !part.contains(" or ")
}

/// Whether a sentence of the text is a verdict of this kind. A rule may stand beside a verdict on the same line: «Your account
/// is locked. Call us if you need help.»
fn is_told(text: &str, what: impl Fn(&str) -> bool) -> bool {
    each_line(text).any(|line| what(&line) && !tells(&line))
        || text.split(['\n', '\r']).flat_map(sentences).any(|part| what(&part) && !tells(&without_ban(&part)))
}

/// Without words of a ban that a verdict may hold: «locked out and may not be logged on to». They tell of a rule elsewhere.
fn without_ban(part: &str) -> String {
    part.replace(" may not be logged on ", " ").replace(" may not ", " ")
}

/// The sentences of a line, spaced.
fn sentences(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split_inclusive(". ").flat_map(|part| part.split("; ")).map(spaced)
}

/// Whether a text says that the password has expired or must be changed.
pub(crate) fn says_expired(text: &str) -> bool {
    let warns = |line: &str| line.contains(" will ") || line.contains(" in ") && line.contains(" days");
    each_line(text).any(|line| has(&line, &EXPIRED) && !warns(&line))
}

/// Whether a line asks a person to do something elsewhere.
pub(crate) fn asks_for_person(line: &str) -> bool {
    let line = spaced(line);
    has(&line, &PERSON)
        || tells_number(&line)
        || names_address(&line) && SIGN_IN.iter().any(|wording| line.contains(wording))
}

/// Whether a line belongs to the set-up of a new seed, as google-authenticator(1) and login nodes show it: a code of the seed that
/// is stored here is none of that one.
pub(super) fn sets_up_a_seed(line: &str) -> bool {
    const WORDINGS: [&str; 6] = [
        " scan the qr ",
        " scan this qr ",
        " qr code above ",
        " new secret key ",
        " your secret key ",
        " secret key is",
    ];
    let line = spaced(line);
    WORDINGS.iter().any(|wording| line.contains(wording))
}

/// Whether a line tells a number to be entered elsewhere: «Open your Authenticator app, and enter the number '73' to sign in»
/// (himmelblau issue 162).
fn tells_number(line: &str) -> bool {
    let told = line.split_once(" the number ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
    let number = told.trim_matches(['\'', '’', ':']);
    (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is done at an address in the web where a login goes on there; a notice that names an address asks nothing of anybody.
const SIGN_IN: [&str; 9] = [
    " sign in ",
    " signin ",
    " log in ",
    " login ",
    " authenticate ",
    " authorize ",
    " enter code ",
    " enter the code ",
    " and enter ",
];

/// Whether a line names an address in the web.
pub(super) fn names_address(line: &str) -> bool {
    ["https://", "http://"].iter().any(|begin| line.to_lowercase().contains(begin))
}

/// Whether a line tells of a code that was sent to a person.
pub(super) fn is_sent_elsewhere(line: &str) -> bool {
    const VERBS: [&str; 9] =
        ["sent", "emailed", "mailed", "texted", "delivered", "received", "receive", "sending", "messaged"];
    const PLACES: [&str; 11] =
        ["phone", "mobile", "cell", "telephone", "handset", "email", "mail", "mailbox", "inbox", "sms", "whatsapp"];
    let line = spaced(line);
    // An app on a mobile makes codes itself.
    let app = [" app ", " authenticator ", " push "].iter().any(|app| line.contains(app));
    let any = |list: &[&str]| line.split([' ', ':']).any(|word| list.contains(&word));
    has(&line, &SENT) || !app && any(&VERBS) && any(&PLACES)
}
