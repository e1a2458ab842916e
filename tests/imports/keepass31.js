// Makes keepass31.kdbx with kdbxweb: the same as keepass4.py, in KDBX 3.1.
const kdbxweb = require('kdbxweb');
const fs = require('fs');

const SEED = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
const credentials = new kdbxweb.Credentials(kdbxweb.ProtectedValue.fromString('correct horse'));
const db = kdbxweb.Kdbx.create(credentials, 'lab');
db.setVersion(3);
db.header.keyEncryptionRounds = 6000;
const root = db.getDefaultGroup();
const routers = db.createGroup(root, 'Routers');

function entry(group, title, user, password, url, more) {
  const made = db.createEntry(group);
  const set = (name, value) => made.fields.set(name, value);
  set('Title', title); set('UserName', user); set('URL', url);
  set('Password', kdbxweb.ProtectedValue.fromString(password));
  for (const [name, value] of Object.entries(more)) set(name, kdbxweb.ProtectedValue.fromString(value));
  return made;
}

const core = (number, more) => entry(routers, `core${number}`, 'admin', `Start-${number}`, `ssh://192.0.2.${number}`, more);
core(1, { otp: `otpauth://totp/core1:admin?secret=${SEED}&period=30&digits=6&issuer=core1` });
core(2, { 'TimeOtp-Secret-Base32': SEED, 'TimeOtp-Length': '8', 'TimeOtp-Period': '60', 'TimeOtp-Algorithm': 'HMAC-SHA-256' });
core(3, { otp: `key=${SEED}&step=30&size=6` });
core(4, { 'TimeOtp-Secret': '12345678901234567890', 'TimeOtp-Length': '8', 'TimeOtp-Period': '60', 'TimeOtp-Algorithm': 'HMAC-SHA-512' });
entry(root, 'web', 'me', 'Start-5', 'https://mail.example.org/login', {});
entry(root, 'empty', '', '', '', {});
db.remove(entry(root, 'gone', 'admin', 'Gone-1', 'ssh://192.0.2.9', {}));
db.save().then((data) => fs.writeFileSync(process.argv[2], Buffer.from(data)));
