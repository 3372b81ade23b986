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
        minimal_backoff_time => '300s', maximal_backoff_time => '300s', smtpd_authorized_verp_clients => '127.0.0.1' },
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

subtest 'flush by destination: ETRN, gatepost queue -s, sendmail -qR' => sub {
    my $sendmail = Gatepost::Test::build() . '/sbin/sendmail';
    for my $how (
        [ 'ETRN', sub { like $mta->smtp->say('ETRN down.test'), qr/^250 Queuing started for node <down\.test>/, 'ETRN' } ],
        [ 'queue -s', sub { is +($mta->gatepost('queue', '-s', 'down.test'))[0], 0, 'queue -s' } ],
        [ 'sendmail -qR', sub { is +($mta->command($sendmail, '-C', $mta->dir . '/conf', '-qRdown.test'))[0], 0, 'sendmail -qR' } ],
      )
    {
        my ($name, $flush) = @$how;
        like $mta->smtp->mail('ann@a.test', 'bob@down.test', "Subject: by $name\n\ntext\n"), qr/^250/, 'accepted';
        ok wait_for(sub { $mta->queued('deferred') == 1 }), 'deferred';
        my $up = Gatepost::Sink->new(port => $down);
        $flush->();
        ok $up->wait_message(qr/Subject: by $name/), 'delivered';
        ok $mta->wait_empty, 'queue is empty';
    }
    my ($rc, $out, $err) = $mta->gatepost('queue', '-s', 'elsewhere.test');
    is $rc, 69, 'a domain that is not in fast_flush_domains';
};

subtest 'variable envelope return paths' => sub {
    my $c = $mta->smtp;
    like $c->hello, qr/^250-XVERP$/m, 'offered';
    like $c->say('MAIL FROM:<> XVERP'), qr/^503 5\.5\.4 Error: XVERP requires non-null sender/, 'needs a sender';
    like $c->say('MAIL FROM:<list@a.test> XVERP=ab'), qr/^501 5\.5\.4 Error: XVERP needs two characters from -=\+/, 'and sane delimiters';
    like $c->say('MAIL FROM:<list@a.test> XVERP'), qr/^250/, 'default delimiters';
    like $c->say("RCPT TO:<$_\@relay.test>"), qr/^250/, $_ for qw(ann nobody);
    like $c->say('DATA'), qr/^354/, 'data';
    like $c->send_raw("Subject: to each\r\n\r\ntext\r\n.\r\n")->reply, qr/^250/, 'accepted';
    my $got = $sink->wait_message(qr/Subject: to each/);
    like $got->{mail}, qr/^<list\+ann=relay\.test\@a\.test>/, 'the recipient is in the sender';
    my ($told) = grep { $_->{rcpt}[0] =~ /^<list\+nobody=relay\.test\@a\.test>/ } $sink->wait_message(qr/^To: list\+nobody=relay\.test\@a\.test/m);
    ok $told, 'and a failure goes to it';
    ok $mta->wait_empty, 'queue is empty';
    my $sendmail = Gatepost::Test::build() . '/sbin/sendmail';
    is system("printf 'Subject: mine\n\ntext\n' | $sendmail -C " . $mta->dir . '/conf -XV-= -f me@a.test bob@relay.test'), 0, 'sendmail -XV-=';
    $got = $sink->wait_message(qr/Subject: mine/);
    like $got->{mail}, qr/^<me-bob=relay\.test\@a\.test>/, 'with delimiters of its own';
    ok $mta->wait_empty, 'queue is empty';
    isnt system("echo x | $sendmail -C " . $mta->dir . '/conf -XVab -f me@a.test bob@relay.test 2>' . $mta->dir . '/refused'), 0, 'not with any';
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
