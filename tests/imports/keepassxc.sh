#!/bin/sh
# Makes keepassxc.kdbx with KeePassXC's command line (keepassxc-cli): the program writes and encrypts the file by itself. Argument: the file.
set -eu
out=$1; folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
seed=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ
text() { printf '<String><Key>%s</Key><Value>%s</Value></String>' "$1" "$2"; }
secret() { printf '<String><Key>%s</Key><Value ProtectInMemory="True">%s</Value></String>' "$1" "$2"; }
entry() {
    number=$1; shift
    printf '<Entry><UUID>%s</UUID>' "$(printf 'rotord-entry-%03d' "$number" | base64)"
    text Notes "of core$number"; text Title "core$number"; text URL "ssh://192.0.2.$number"; text UserName admin; secret Password "Start-$number"
    printf '%s' "$@"
    printf '</Entry>\n'
}
{
    printf '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<KeePassFile><Meta><Generator>KeePassXC</Generator><DatabaseName>routers</DatabaseName></Meta><Root><Group><UUID>cm90b3JkLXJvb3QtMDAwMQ==</UUID><Name>Root</Name>\n'
    entry 1 "$(secret otp "otpauth://totp/core1:admin?secret=$seed&amp;period=30&amp;digits=6&amp;issuer=core1")"
    entry 2 "$(secret otp "otpauth://totp/core2:admin?secret=$seed&amp;period=60&amp;digits=8&amp;algorithm=SHA256&amp;issuer=core2")"
    entry 3 "$(secret 'TOTP Seed' "$seed")" "$(text 'TOTP Settings' '30;6')" "$(text 'rack' 'B 7')"
    printf '</Group></Root></KeePassFile>\n'
} > "$folder/routers.xml"
rm -f "$out"
printf 'correct horse\ncorrect horse\n' | keepassxc-cli import -q -p "$folder/routers.xml" "$out"
printf 'correct horse\n' | keepassxc-cli mkdir -q "$out" Switches
printf 'correct horse\nStart-4\n' | keepassxc-cli add -q -u admin --url ssh://192.0.2.4 -p "$out" Switches/core4
printf 'correct horse\nGone-1\n' | keepassxc-cli add -q -u admin --url ssh://192.0.2.9 -p "$out" gone
printf 'correct horse\n' | keepassxc-cli rm -q "$out" gone
