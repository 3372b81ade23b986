#!/usr/bin/perl
# t/980-package.t - the Debian packages: built, looked at by lintian, then installed, used, removed and purged in a root of their own, which is
# an overlay over this system's with a network of its own.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Root;

my $top = dirname(dirname(abs_path(__FILE__)));
plan skip_all => 'once is enough: not for the sanitizers' if ($ENV{GATEPOST_BUILD} // '') =~ /asan/;
my $lacks = Gatepost::Root->lacks;
plan skip_all => $lacks if defined $lacks;
for my $needed (qw(dpkg-buildpackage dh lintian)) {
    plan skip_all => "no $needed" unless grep { -x "$_/$needed" } split /:/, $ENV{PATH};
}
my $dir = tempdir('gatepost-package.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;

sub run { my $text = `$_[0] 2>&1`; return ($? >> 8, $text) }

# ---- build ----
mkdir "$dir/gatepost";
my ($status, $said) = run("tar -C '$top' --exclude=./.git --exclude='./build*' --exclude=./Makefile --exclude=./config.h -cf - . | tar -C '$dir/gatepost' -xf -");
is $status, 0, 'sources' or diag $said;
($status, $said) = run("cd '$dir/gatepost' && DEB_BUILD_OPTIONS=parallel=2 dpkg-buildpackage -us -uc -b -d");
is $status, 0, 'the packages build' or diag substr $said, -3000;
($status, $said) = run("lintian --allow-root --fail-on error,warning '$dir'/*.changes");
is $status, 0, 'lintian finds nothing' or diag $said;

# ---- use, in a root of their own ----
my $inside = <<'INSIDE';
set -u
cd /
fact() { echo "$1=$(printf %s "$2" | tr '\n' '|')"; }
for other in postfix exim4-daemon-light; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' $other 2>/dev/null)" != installed ] || dpkg --force-depends -r $other >/dev/null 2>&1
done
rm -f /etc/aliases /usr/sbin/policy-rc.d; echo 'postmaster: root' >/etc/aliases; : >/var/mail/root
userdel gatepost 2>/dev/null; groupdel gatepost-drop 2>/dev/null
install=$(dpkg -i /packages/gatepost_*.deb /packages/gatepost-mta_*.deb 2>&1); fact install $?
[ -e /usr/sbin/sendmail ] || echo "$install" >&2
fact accounts "$(getent passwd gatepost | cut -d: -f6,7) $(getent group gatepost-drop | cut -d: -f1)"
fact sendmail "$(stat -L -c '%G %a' /usr/sbin/sendmail)"
fact alone "$(dpkg-query -W -f '${Provides}' gatepost-mta)"
fact manual "$(man -w gatepost-main.cf sendmail mailq 2>&1 | wc -l)"
fact check "$(gatepost check 2>&1 | grep -c ' error: ')"
gatepost start >/dev/null 2>&1; fact start $?
printf 'Subject: packaged\n\nhello\n' | setpriv --reuid=nobody --clear-groups --regid=nogroup sendmail postmaster; fact submit $?
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do grep -q packaged /var/mail/root && break; sleep 0.2; done
fact delivered "$(grep -c '^Subject: packaged' /var/mail/root)"
fact queue "$(mailq)"
fact processes "$(ps -o user= -C smtpd | sort -u)"
mkdir -p /var/log/gatepost; echo 'maillog_file = /var/log/gatepost/mail.log' >>/etc/gatepost/main.cf
fact reload "$(gatepost reload 2>&1)"
logrotate -f -s /tmp/rotated /etc/logrotate.d/gatepost; fact rotate $?
printf 'Subject: rotated\n\nhello\n' | sendmail postmaster
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do grep -q ': removed' /var/log/gatepost/mail.log && break; sleep 0.2; done
fact rotated "$(stat -c '%U %G %a' /var/log/gatepost/mail.log) $(sed -n 's/.*gatepost\/\(pickup\|cleanup\|qmgr\|local\)\[.*/\1/p' /var/log/gatepost/mail.log | sort -u)"
dpkg --force-depends -r gatepost-mta gatepost >/dev/null 2>&1; # other packages here may want a mail server
fact remove $?
fact running "$(ps -o pid= -C master | wc -l)"
fact kept "$(ls /etc/gatepost)"
dpkg --force-depends -P gatepost-mta gatepost >/dev/null 2>&1; fact purge $?
fact left "$(ls -d /etc/gatepost /var/spool/gatepost /var/lib/gatepost /usr/sbin/gatepost /usr/sbin/sendmail /usr/libexec/gatepost 2>/dev/null)"
INSIDE
my ($done, $facts, $errors) = Gatepost::Root->new->run($inside =~ s{/packages/}{$dir/}gr);
my %fact = $facts =~ /^(\w+)=(.*)$/mg;

my %expected = (
    install => 0, accounts => '/var/spool/gatepost:/usr/sbin/nologin gatepost-drop', sendmail => 'gatepost-drop 2755',
    alone => 'mail-transport-agent', manual => 3, check => 0, start => 0, submit => 0, delivered => 1, queue => 'Mail queue is empty',
    processes => 'gatepost', reload => 'the new configuration is in use', rotate => 0, rotated => 'gatepost adm 640 cleanup|local|pickup|qmgr', remove => 0, running => 0, kept => 'main.cf|master.cf', purge => 0, left => '',
);
is $fact{$_}, $expected{$_}, $_ for qw(install accounts sendmail alone manual check start submit delivered queue processes reload rotate rotated remove running kept purge left);
diag $errors if !Test::More->builder->is_passing;
done_testing;
