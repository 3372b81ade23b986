#!/usr/bin/perl
# t/015-service-manager.t - what a service manager such as systemd hears from master: ready, reloading, alive, stopping; and units it accepts.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Select;
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Test;

my $top = dirname(dirname(abs_path(__FILE__)));
my $mta = Gatepost::Test->new;
my $manager = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $mta->dir . '/notify') or die "notify socket: $!";

# The next datagram that matches; the ones before it are skipped.
sub heard {
    my ($pattern) = @_;
    while (IO::Select->new($manager)->can_read(20)) {
        $manager->recv(my $text, 4096);
        return $text if $text =~ $pattern;
    }
    return '';
}

local $ENV{NOTIFY_SOCKET} = $mta->dir . '/notify';
local $ENV{WATCHDOG_USEC} = 200_000;
$mta->start;
my $pid = $mta->master_pid;
like heard(qr/READY=1/), qr/^MAINPID=$pid$/m, 'ready, with the process that matters';
like heard(qr/WATCHDOG=1/), qr/^WATCHDOG=1$/, 'alive';
# A worker has no business with the manager.
my ($worker) = $mta->pids('smtpd');
open my $env, '<', "/proc/$worker/environ" or die "environ of $worker: $!";
unlike join('', <$env>), qr/NOTIFY_SOCKET/, 'workers do not know the socket';

$mta->reconfigure;
like heard(qr/RELOADING=1/), qr/^MONOTONIC_USEC=\d{6,}$/m, 'reloading, since when';
like heard(qr/READY=1/), qr/^READY=1$/m, 'ready again';

$mta->stop;
like heard(qr/STOPPING=1/), qr/^STOPPING=1$/, 'stopping';

SKIP: {
    my $analyze = '/usr/bin/systemd-analyze';
    skip 'no systemd-analyze', 1 unless -x $analyze;
    my $unit = $mta->dir . '/gatepost.service';
    my $text = do { local (@ARGV, $/) = "$top/contrib/systemd/gatepost.service"; <> };
    $text =~ s{/usr/sbin/gatepost}{/bin/true}g;
    open my $f, '>', $unit or die $!;
    print $f $text;
    close $f;
    my $said = `$analyze verify --man=no '$unit' 2>&1`;
    is join("\n", grep { /\Q$unit\E|gatepost\.service/ } split /\n/, $said), '', 'systemd finds nothing wrong with the unit';
}
done_testing;
