#!/usr/bin/perl
# t/067-try.t - gatepost try: what a client would be told, through the real policy and filters, with nothing left behind.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::Process qw(slurp spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use JSON::PP qw(decode_json);
use Test::More;

my $dir = tempdir('gatepost-try.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $filter = Gatepost::Milter->new('dkim', $dir) or plan skip_all => 'no dkim milter';
$filter->client; # it is there
spew("$dir/checks", "/^Subject: bad/ REJECT no such subject, please\n");
chmod 0644, "$dir/checks";
my $sink = Gatepost::Sink->new;
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => {
    mynetworks                   => '192.0.2.1',
    smtpd_milters                => $filter->endpoint,
    virtual_alias_maps           => 'inline:{ team@relay.test=bob@relay.test }',
    header_checks                => "regexp:$dir/checks",
    smtpd_recipient_restrictions => 'check_recipient_access inline:{ no@relay.test=REJECT }, check_greylist',
    greylist_delay               => '10m',
    greylist_exempt_clients      => '192.0.2.0/24',
})->start;
spew("$dir/message", "From: <ann\@far.test>\nSubject: tried\nMessage-ID: <try\@far.test>\n\nhello\n.dot\n");
spew("$dir/bad", "From: <ann\@far.test>\nSubject: bad\n\nhello\n");
chmod 0644, "$dir/message", "$dir/bad";

sub try_it { return $mta->gatepost('try', @_) }
my $log_before = $mta->log;

subtest 'refused' => sub {
    my ($rc, $text) = try_it('--client', '198.51.100.7', '--from', 'ann@far.test', '--rcpt', 'no@relay.test', '--rcpt', 'x@elsewhere.test');
    is $rc, 1, 'status';
    like $text, qr/ session of \S+\[198\.51\.100\.7\] with service try-/, 'as this client';
    like $text, qr/ > MAIL FROM:<ann\@far\.test>\n +< 250 /, 'the conversation';
    like $text, qr{smtpd_recipient_restrictions \(\S+/main\.cf:\d+\) about <no\@relay\.test>: reject\n +check_recipient_access \S.*: REJECT, }m, 'why not';
    like $text, qr{smtpd_relay_restrictions \(\S+/main\.cf:\d+\) about <x\@elsewhere\.test>: reject\n +permit_mynetworks: dunno, .*\n +reject_unauth_destination: reject}m, 'nor that';
    like $text, qr/\nrefused\n\z/, 'in short';
};

subtest 'greylisting leaves no mark' => sub {
    for my $time (1, 2) {
        my ($rc, $text) = try_it('--client', '203.0.113.5', '--from', 'ann@far.test', '--rcpt', 'bob@relay.test');
        is $rc, 75, 'later';
        like $text, qr/check_greylist: DEFER_IF_PERMIT .* \(203\.0\.113\.0\/24: .*\), \d+ ms$/m, 'why';
        like $text, qr/\nto be tried again later\n\z/, 'in short';
    }
    like(($mta->gatepost('greylist', 'list'))[1], qr/\A(?!.*203\.0\.113)/s, 'no mark');
};

subtest 'a message' => sub {
    my ($rc, $text) = try_it('--client', '192.0.2.9', '--helo', 'mail.far.test', '--from', 'ann@far.test', '--rcpt', 'team@relay.test', "$dir/message");
    is $rc, 0, 'taken';
    like $text, qr/ > EHLO mail\.far\.test\n/, 'HELO';
    like $text, qr/< 250 2\.0\.0 Ok: would be queued as (\w+)/, 'the last reply';
    like $text, qr/ cleanup +\w+ +message-id=<try\@far\.test>$/m, 'cleanup saw it';
    like $text, qr/ milters: unix:\S+ (?:continue|accept).* delay=/m, 'filters, too';
    like $text, qr/ recipient <team\@relay\.test> becomes <bob\@relay\.test> by virtual_alias_maps/m, 'rewriting';
    like $text, qr/ would be queued with 1 recipients$/m, 'the outcome';
    like $text, qr/ <bob\@relay\.test> would go by smtp to \[127\.0\.0\.1\]:\d+$/m, 'and where it would go';
    like $text, qr/\ntaken\n\z/, 'in short';
    is_deeply [ $mta->queued ], [], 'nothing is queued';
};

subtest 'content that is refused' => sub {
    my ($rc, $text) = try_it('--client', '192.0.2.9', '--from', 'ann@far.test', '--rcpt', 'bob@relay.test', "$dir/bad");
    is $rc, 1, 'status';
    like $text, qr/reject: header Subject: bad from .*: 5\.7\.1 no such subject, please/, 'by a header check';
    like $text, qr/< 550 5\.7\.1 no such subject, please/, 'in the reply';
};

unlike substr($mta->log, length $log_before), qr/smtpd\[\d+\]: .*(?:198\.51\.100\.7|203\.0\.113)/, 'sessions that were tried are not in the log';

# The same client, sender, recipient and message, tried and then real: the replies are the same.
subtest 'as a real session' => sub {
    my @cases = (
        [ '192.0.2.1',    'ann@far.test', 'x@elsewhere.test', undef,     250 ],
        [ '198.51.100.7', 'ann@far.test', 'x@elsewhere.test', undef,     554 ],
        [ '198.51.100.7', 'ann@far.test', 'no@relay.test',    undef,     554 ],
        [ '203.0.113.77', 'ann@far.test', 'bob@relay.test',   undef,     450 ],
        [ '192.0.2.9',    '',             'team@relay.test',  undef,     250 ],
        [ '192.0.2.9',    'ann@far.test', 'a..b@relay.test',  undef,     250 ],
        [ '192.0.2.9',    'ann@far.test', 'bob@',             undef,     501 ],
        [ '192.0.2.9',    'ann@far.test', 'bob@relay.test',   'bad',     550 ],
        [ '192.0.2.9',    'ann@far.test', 'bob@relay.test',   'message', 250 ],
    );
    for (@cases) {
        my ($client, $from, $rcpt, $file, $code) = @$_;
        my $name = "$client <$from> <$rcpt> " . ($file // '');
        my $text = (try_it('--client', $client, '--helo', 'client.test', '--from', $from, '--rcpt', $rcpt, defined $file ? "$dir/$file" : ()))[1];
        my ($tried) = $text =~ ($file ? qr/> DATA\n +< (.*?)(?:  \(.*)?$/m : qr/> RCPT TO:.*\n +< (.*?)(?:  \(.*)?$/m);
        my $c = $mta->smtp;
        $c->xclient(ADDR => $client);
        $c->hello('client.test');
        $c->say("MAIL FROM:<$from>");
        my $real = $c->say("RCPT TO:<$rcpt>");
        $real = $c->say('DATA') && $c->send_raw(join('', map { s/^\./../r =~ s/\n/\r\n/r } split /^/, slurp("$dir/$file")) . ".\r\n")->reply if $file;
        $c->quit;
        s/(?:would be )?queued as \w+/queued/ for $tried, $real;
        is $tried, $real, $name;
        like $real, qr/^$code /, "which is $code";
    }
};

subtest 'new configuration, before a reload' => sub {
    $mta->{main_cf}{smtpd_recipient_restrictions} = 'reject';
    $mta->write_config;
    my ($rc, $text) = try_it('--client', '192.0.2.9', '--rcpt', 'bob@relay.test', '--json');
    is $rc, 1, 'is what is tried';
    my @events = map { decode_json($_) } split /\n/, $text;
    ok((grep { $_->{kind} eq 'check' && $_->{list} eq 'smtpd_recipient_restrictions' && $_->{checks} =~ /^reject: reject/ } @events), '--json');
    my $c = $mta->smtp;
    $c->xclient(ADDR => '192.0.2.9');
    $c->hello;
    like $c->mail('ann@far.test', 'bob@relay.test', "Subject: real\n\nx\n"), qr/^250/, 'mail goes on with the old one';
    $c->quit;
};

subtest 'usage' => sub {
    is((try_it('--client', 'nonsense', '--rcpt', 'a@b.test'))[0], 64, 'client');
    is((try_it('--client', '192.0.2.9'))[0], 64, 'recipient');
    is((try_it('--client', '192.0.2.9', '--rcpt', "a\@b.test>\r\nDATA"))[0], 64, 'one line each');
    is((try_it('--client', '192.0.2.9', '--rcpt', 'a@b.test', '/nonexistent'))[0], 66, 'message');
    like((try_it('--client', '192.0.2.9', '--rcpt', 'a@b.test', '--service', 'nowhere'))[1], qr/master\.cf has no service nowhere/, 'service');
};

$mta->stop;
is((try_it('--client', '192.0.2.9', '--rcpt', 'a@b.test'))[0], 69, 'nobody to ask');
done_testing;
