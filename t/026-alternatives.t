#!/usr/bin/perl
# t/026-alternatives.t - contrib/alternatives: sendmail, mailq and newaliases become Gatepost's and stop being so, in a root of their own.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
plan skip_all => 'no update-alternatives' unless -x '/usr/bin/update-alternatives';
my $root = tempdir('gatepost-alternatives.XXXXXX', TMPDIR => 1, CLEANUP => 1);
system('mkdir', '-p', map { "$root/$_" } qw(usr/local/sbin usr/sbin usr/bin usr/lib etc/alternatives var/lib/dpkg/alternatives var/log)) == 0 or die;
for my $name (qw(sendmail mailq newaliases)) {
    open my $f, '>', "$root/usr/local/sbin/$name" or die $!;
}

sub alternatives { return system("'$top/contrib/alternatives' $_[0] /usr/local --root '$root' --log /dev/null >/dev/null 2>&1") >> 8 }
sub target { return readlink("$root/etc/alternatives/$_[0]") // '' }

is alternatives('install'), 0, 'install';
is readlink("$root/usr/sbin/sendmail"), '/etc/alternatives/mta', 'sendmail is chosen there';
is target('mta'), '/usr/local/sbin/sendmail', 'and is ours';
is target('mta-mailq'), '/usr/local/sbin/mailq', 'so is mailq';
is target('mta-libsendmail'), '/usr/local/sbin/sendmail', 'and the old place of sendmail';
is alternatives('remove'), 0, 'remove';
is target('mta'), '', 'gone';
is system("'$top/contrib/alternatives' 2>/dev/null") >> 8, 64, 'usage';
done_testing;
