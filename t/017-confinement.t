#!/usr/bin/perl
# t/017-confinement.t - every process that reads strangers' bytes is confined, works, and can be told not to be.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp ();
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::Process qw(slurp wait_for);
use Gatepost::Sink;
use Gatepost::Test;

# Started as root and staying so: their children become other users and run their programs.
my %root = map { $_ => 1 } qw(master local virtual pipe);

# Of the children of that master: command => [ [ status of the process ] ... ].
sub processes {
    my ($mta) = @_;
    my ($master) = slurp($mta->dir . '/queue/pid/master.pid') =~ /(\d+)/ or return;
    my %found;
    for my $file (glob '/proc/[0-9]*/status') {
        my %s = slurp($file) =~ /^(\w+):\s+(.*)$/mg;
        push @{ $found{ $s{Name} } }, \%s if ($s{PPid} // 0) == $master;
    }
    return %found;
}

my $sink = Gatepost::Sink->new;
my $mta = Gatepost::Test->new(sink => $sink->port)->start;
like $mta->smtp->mail('a@far.test', 'b@relay.test', "Subject: through\n\nall of them\n"), qr/^250/, 'mail is taken';
ok $sink->wait_message(qr/Subject: through/), 'and delivered';
like $mta->smtp->mail('a@relay.test', 'b@relay.test', "Subject: double\n\n\n"), qr/^250/, 'more of it';
my %all = processes($mta);
plan skip_all => 'this kernel has no seccomp' unless defined $all{smtpd}[0]{Seccomp};
is join(' ', grep { !$all{$_} } qw(smtpd cleanup qmgr smtp bounce pickup policyd trivial-rewrite)), '', 'all are there';
for my $command (sort grep { !$root{$_} } keys %all) {
    my @open = grep { $_->{Seccomp} != 2 || $_->{NoNewPrivs} != 1 || hex $_->{CapEff} || $_->{Uid} =~ /\b0\b/ } @{ $all{$command} };
    is scalar(@open), 0, "$command: a filter, no new privileges, no capabilities, no root";
}
$mta->stop;

# Who delivers to a mailbox, a child of virtual: the owner of the mailbox, and a server's system calls.
my $boxes = $mta->dir . '/boxes';
my ($uid, $gid) = $> == 0 ? (getpwnam Gatepost::Test::owner())[ 2, 3 ] : ($>, $) + 0);
mkdir $boxes;
chown $uid, $gid, $boxes;
my $store = Gatepost::Test->new(sink => $sink->port, main_cf => {
    virtual_mailbox_domains => 'box.test', virtual_mailbox_base => $boxes, virtual_mailbox_maps => 'inline:{ joe@box.test=joe/ }',
    virtual_uid_maps => "static:$uid", virtual_gid_maps => "static:$gid", virtual_minimum_uid => 1 })->start;
like $store->send_to('joe@box.test'), qr/status=sent/, 'delivered to a mailbox';
my ($virtual) = $store->pids('virtual');
my ($child) = grep { ($_->{PPid} // 0) == $virtual } map { +{ slurp($_) =~ /^(\w+):\s+(.*)$/mg } } glob '/proc/[0-9]*/status';
SKIP: {
    skip 'it has gone already', 1 unless $child;
    is "$child->{Seccomp} $child->{NoNewPrivs} $child->{CapEff}", '2 1 ' . '0' x 16, 'its process: a filter, no new privileges, no capabilities';
}
$store->stop;

# Our milters: a keeper, and the process that reads mail.
SKIP: {
    skip 'no milters', 1 unless -x Gatepost::Milter::program('dmarc');
    my $dir = File::Temp::tempdir('gatepost-milter.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    my $milter = Gatepost::Milter->new('dmarc', $dir);
    $milter->client;
    my ($worker) = grep { ($_->{PPid} // 0) == $milter->pid } map { +{ slurp($_) =~ /^(\w+):\s+(.*)$/mg } } glob '/proc/[0-9]*/status';
    is "$worker->{Seccomp} $worker->{NoNewPrivs} $worker->{CapEff}", '2 1 ' . '0' x 16, 'a milter: a filter, no new privileges, no capabilities';
    unlike $worker->{Uid}, qr/\b0\b/, 'no root' if $> == 0;
    $milter->stop;
}

my $free = Gatepost::Test->new(sink => $sink->port, main_cf => { process_confinement => 'no' })->start;
my %free = processes($free);
is $free{smtpd}[0]{Seccomp}, 0, 'process_confinement = no';
is $free{smtpd}[0]{NoNewPrivs}, 1, 'but never new privileges';
$free->stop;
done_testing;
