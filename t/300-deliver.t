#!/usr/bin/perl
# t/300-deliver.t - from the queue to other hosts: refusals become notifications, a host that is down gets its mail later.
use strict;
use warnings;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $sink = Gatepost::Sink->new(rcpt => { 'nobody@relay.test' => '550 5.1.1 no such user here' });
my $down = free_port();
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    master_cf => 'unused unix - n n - - pipe user=no-such-user argv=/bin/true',
    main_cf => { transport_maps => "inline:{ down.test=smtp:[127.0.0.1]:$down, unused.test=unused: }", relay_domains => 'relay.test, down.test, unused.test',
        minimal_backoff_time => '300s', maximal_backoff_time => '300s' },
)->start;

subtest 'a refused recipient comes back as a notification' => sub {
    like $mta->smtp->mail('ann@a.test', [ 'nobody@relay.test', 'bob@relay.test' ], "Subject: half\nMessage-ID: <half\@a.test>\n\ntext\n"), qr/^250/, 'accepted';
    my $got = $sink->wait_message(qr/Undelivered Mail Returned to Sender/);
    ok $got, 'notification' or return;
    is $got->{mail}, '<>', 'from nobody' if $got->{mail} !~ / /;
    like $got->{rcpt}[0], qr/^<ann\@a\.test>/, 'to the sender';
    like $got->{content}, $_ for qr{^Content-Type: multipart/report; report-type=delivery-status;}m, qr/^Auto-Submitted: auto-replied/m,
        qr/^Final-Recipient: rfc822; nobody\@relay\.test/m, qr/^Action: failed/m, qr/^Status: 5\.1\.1/m,
        qr/^Diagnostic-Code: smtp; 550 5\.1\.1 no such user here/m, qr/^Message-ID: <half\@a\.test>/m;
    is scalar(grep { $_->{content} =~ /Subject: half/ && $_->{mail} =~ /ann/ } $sink->messages), 1, 'the other recipient got it once';
    ok $mta->log_has(qr/status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 no such user here \(in reply to RCPT TO command\)\)/), 'logged';
    ok $mta->wait_empty, 'nothing left';
};

subtest 'a host that is down' => sub {
    like $mta->smtp->mail('ann@a.test', 'bob@down.test', "Subject: later\n\ntext\n"), qr/^250/, 'accepted';
    ok $mta->log_has(qr/to=<bob\@down\.test>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Connection refused\)/), 'deferred';
    ok wait_for(sub { $mta->queued('deferred') == 1 }), 'waits in deferred';
    my ($code, $list) = $mta->gatepost('queue', '--json');
    like $list, qr/"queue_name": ?"deferred".*bob\@down\.test/, 'listed';
    my ($id) = $mta->queued('deferred');
    like +($mta->gatepost('cat', $id))[1], qr/Subject: later/, 'gatepost cat shows it';
    my $up = Gatepost::Sink->new(port => $down);
    is +($mta->gatepost('queue', '--flush'))[0], 0, 'flush';
    ok $up->wait_message(qr/Subject: later/), 'delivered when it is up';
    ok $mta->wait_empty, 'queue is empty';
};

subtest 'restart finds what waits' => sub {
    like $mta->smtp->mail('ann@a.test', 'bob@down.test', "Subject: over night\n\ntext\n"), qr/^250/, 'accepted';
    ok wait_for(sub { $mta->queued('deferred') == 1 }), 'deferred';
    $mta->stop;
    my $up = Gatepost::Sink->new(port => $down);
    $mta->start;
    $mta->gatepost('queue', '--flush');
    ok $up->wait_message(qr/Subject: over night/), 'delivered after the restart';
    ok $mta->wait_empty, 'queue is empty';
};

subtest 'a row whose user does not exist' => sub {
    plan skip_all => 'commands run as ourselves without root' if $> != 0;
    like $mta->smtp->mail('ann@a.test', 'bob@unused.test', "Subject: waits\n\ntext\n"), qr/^250/, 'stops nothing else';
    ok $mta->log_has(qr/to=<bob\@unused\.test>, relay=unused, .*dsn=4\.3\.5, status=deferred \(user=no-such-user: no such user or group\)/), 'its mail waits';
};

$mta->stop;
done_testing;
