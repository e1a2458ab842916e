#!/bin/bash
# The inside of web-apps.sh: in namespaces of its own it sets one application up and serves it.
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /srv
mkdir /srv/changes /srv/work /srv/run
mount -t overlay -o lowerdir=/etc,upperdir=/srv/changes,workdir=/srv/work none /etc
install -m 644 "$dir"/cert.pem "$dir"/accounts /srv/
install -m 640 -g www-data "$dir"/key.pem /srv/
touch "$dir/log"
chown www-data "$dir/log"
export HOME=/srv
as_www() { setpriv --reuid=www-data --regid=www-data --init-groups "$@"; }

# Tells that the page is served.
announce() {
  until curl -sfo /dev/null --cacert "$dir/ca.pem" "https://127.0.0.1:$port$1"; do sleep 0.1; done
  touch "$dir/ready"
}

# Apache with PHP: the document root, the page that tells that it is there, more lines of configuration.
serve_php() {
  local modules=/usr/lib/apache2/modules name php
  php=$(compgen -G "$modules/libphp*.so" | head -n 1)
  {
    for name in mpm_prefork authz_core dir mime env socache_shmcb ssl; do
      echo "LoadModule ${name}_module $modules/mod_$name.so"
    done
    cat <<CONF
LoadModule php_module $php
ServerName 127.0.0.1
Listen 127.0.0.1:$port
PidFile /srv/run/pid
DefaultRuntimeDir /srv/run
User www-data
Group www-data
ErrorLog $dir/log
StartServers 2
MaxRequestWorkers 12
TypesConfig /etc/mime.types
SSLEngine on
SSLCertificateFile /srv/cert.pem
SSLCertificateKeyFile /srv/key.pem
DirectoryIndex index.php
AddHandler application/x-httpd-php .php
php_value session.save_path /srv/sessions
php_admin_value sendmail_path /bin/true
php_value error_log $dir/log
DocumentRoot $1
<Directory />
  Options FollowSymLinks
  AllowOverride None
  Require all granted
</Directory>
$3
CONF
  } > /srv/apache.conf
  install -d -o www-data /srv/sessions
  announce "$2" &
  exec apache2 -DFOREGROUND -f /srv/apache.conf
}

wordpress() {
  install -d -o mysql /srv/mysql
  local options=(--no-defaults --user=mysql --datadir=/srv/mysql)
  mariadb-install-db "${options[@]}" --skip-test-db --auth-root-authentication-method=normal >> "$dir/log" 2>&1
  mariadbd "${options[@]}" --skip-networking --socket=/srv/mysql/socket --pid-file=/srv/mysql/pid >> "$dir/log" 2>&1 &
  until mariadb --no-defaults --socket=/srv/mysql/socket --user=root --execute='create database blog' 2> /dev/null; do sleep 0.1; done
  {
    echo '<?php'
    printf "define('DB_%s', '%s');\n" NAME blog USER root PASSWORD '' HOST localhost:/srv/mysql/socket
    for name in AUTH_KEY SECURE_AUTH_KEY LOGGED_IN_KEY NONCE_KEY AUTH_SALT SECURE_AUTH_SALT LOGGED_IN_SALT NONCE_SALT; do
      printf "define('%s', '%s');\n" "$name" "$(head -c 30 /dev/urandom | base32)"
    done
    printf "define('%s', true);\n" FORCE_SSL_ADMIN DISABLE_WP_CRON WP_HTTP_BLOCK_EXTERNAL AUTOMATIC_UPDATER_DISABLED
    printf "define('%s', 'https://127.0.0.1:$port');\n" WP_SITEURL WP_HOME
  } > /etc/wordpress/config-default.php
  cat > /srv/install.php <<'PHP'
<?php
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = '127.0.0.1'; $_SERVER['HTTPS'] = 'on'; $_SERVER['REQUEST_URI'] = '/';
require '/usr/share/wordpress/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
add_filter('pre_wp_mail', '__return_true');
wp_install('Tests', 'boss', 'boss@example.com', false, '', bin2hex(random_bytes(12)));
foreach (file('/srv/accounts', FILE_IGNORE_NEW_LINES) as $line) {
  [$name, $password] = explode(' ', $line);
  if (is_wp_error(wp_create_user($name, $password, "$name@example.com"))) { exit(1); }
}
PHP
  php -d sendmail_path=/bin/true /srv/install.php >> "$dir/log" 2>&1
  serve_php /usr/share/wordpress /wp-login.php ''
}

mediawiki() {
  install -d -o www-data /srv/wiki /srv/settings /srv/files
  cd /usr/share/mediawiki
  as_www php maintenance/install.php --dbtype sqlite --dbpath /srv/wiki --dbname wiki --confpath /srv/settings --scriptpath '' \
    --server "https://127.0.0.1:$port" --with-extensions --extensions OATHAuth --skins Vector \
    --pass "Boss-$(head -c 12 /dev/urandom | base32)-1" Tests Boss >> "$dir/log" 2>&1
  cat >> /srv/settings/LocalSettings.php <<'PHP'
foreach (['wgMainCacheType', 'wgSessionCacheType'] as $cache) { $$cache = CACHE_DB; }
$wgParserCacheType = CACHE_NONE; $wgMainStash = 'db-replicated'; $wgJobRunRate = 0; $wgEnableEmail = false;
$wgCacheDirectory = $wgUploadDirectory = '/srv/files';
PHP
  cat > /srv/settings/accounts.php <<'PHP'
<?php
require '/usr/share/mediawiki/maintenance/Maintenance.php';
class Accounts extends Maintenance {
  public function execute() {
    foreach (file('/srv/accounts', FILE_IGNORE_NEW_LINES) as $line) {
      [$name, $password, $seed] = explode(' ', $line);
      $user = User::newFromName($name);
      $user->addToDatabase();
      $data = ['username' => $user->getName(), 'password' => $password, 'retype' => $password];
      if (!$user->changeAuthenticationData($data)->isGood()) { $this->fatalError($name); }
      $keys = json_encode(['keys' => [['secret' => $seed, 'scratch_tokens' => []]]]);
      $this->getDB(DB_PRIMARY)->insert('oathauth_users', ['id' => $user->getId(), 'module' => 'totp', 'data' => $keys], __METHOD__);
    }
  }
}
$maintClass = Accounts::class;
require RUN_MAINTENANCE_IF_MAIN;
PHP
  MW_CONFIG_FILE=/srv/settings/LocalSettings.php as_www php /srv/settings/accounts.php >> "$dir/log" 2>&1
  serve_php /usr/share/mediawiki '/index.php?title=Special:UserLogin' 'SetEnv MW_CONFIG_FILE /srv/settings/LocalSettings.php'
}

# A WSGI application: the page that tells that it is there, and arguments of gunicorn.
serve_python() {
  export PYTHONDONTWRITEBYTECODE=1
  announce "$1" &
  # Not by exec: a change of user takes the signal away that ends the namespace with the process outside.
  as_www "$venv/bin/python" -m gunicorn --bind "127.0.0.1:$port" --certfile /srv/cert.pem --keyfile /srv/key.pem --workers 1 --threads 8 \
    --worker-tmp-dir /dev/shm --no-control-socket --error-logfile "$dir/log" --access-logfile "$dir/log" --capture-output "${@:2}"
}

django() {
  install -d -o www-data /srv/site
  SITE_KEY=$(head -c 30 /dev/urandom | base32)
  export SITE_KEY
  cp "$(dirname "$0")/web-django.py" /srv/site/pages.py
  as_www "$venv/bin/python" /srv/site/pages.py /srv/accounts >> "$dir/log" 2>&1
  serve_python /account/login/ --pythonpath /srv/site pages:application
}

pgadmin() {
  install -d -o www-data /srv/pgadmin
  mkdir -p /etc/pgadmin
  cat > /etc/pgadmin/config_system.py <<'PY'
SERVER_MODE, MFA_ENABLED, SESSION_COOKIE_SECURE = True, True, True
MFA_SUPPORTED_METHODS = ["authenticator"]
UPGRADE_CHECK_ENABLED, MASTER_PASSWORD_REQUIRED = False, False
DATA_DIR = "/srv/pgadmin"
LOG_FILE, SQLITE_PATH, SESSION_DB_PATH, STORAGE_DIR, AZURE_CREDENTIAL_CACHE_DIR, KERBEROS_CCACHE_DIR = (
    "/srv/pgadmin/" + name for name in ("log", "pgadmin4.db", "sessions", "storage", "azure", "kerberos"))
PY
  cat > /srv/install.py <<'PY'
import builtins, importlib.util, os, secrets, sys
root = importlib.util.find_spec("pgadmin4").submodule_search_locations[0]
sys.path.insert(0, root)
builtins.SERVER_MODE = True
os.environ.update(PGADMIN_SETUP_EMAIL="boss@example.com", PGADMIN_SETUP_PASSWORD=secrets.token_urlsafe(15))
import config, setup
takes_app = "app" in setup.setup_db.__code__.co_varnames[:1]
setup.setup_db(app=setup.create_app()) if takes_app else setup.setup_db()
from pgadmin.model import User, UserMFA, db
app = setup.create_app()
with app.test_request_context():
    for name, password, seed in (line.split() for line in open("/srv/accounts")):
        made, why = setup.create_user({"username": name, "email": name, "newPassword": password, "confirmPassword": password,
                                       "role": 2, "active": True, "auth_source": "internal"})
        assert made, why
        db.session.add(UserMFA(user_id=User.query.filter_by(username=name).first().id, mfa_auth="authenticator", options=seed))
    db.session.commit()
open("/srv/pgadmin/root", "w").write(root)
PY
  as_www "$venv/bin/python" /srv/install.py >> "$dir/log" 2>&1
  serve_python /login --chdir "$(cat /srv/pgadmin/root)" pgAdmin4:app
}

"$app"
