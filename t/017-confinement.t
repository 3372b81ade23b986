#!/usr/bin/perl
# t/017-confinement.t - every process that reads strangers' bytes is confined, works, and can be told not to be.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
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

my $free = Gatepost::Test->new(sink => $sink->port, main_cf => { process_confinement => 'no' })->start;
my %free = processes($free);
is $free{smtpd}[0]{Seccomp}, 0, 'process_confinement = no';
is $free{smtpd}[0]{NoNewPrivs}, 1, 'but never new privileges';
$free->stop;
done_testing;
