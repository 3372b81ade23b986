#!/usr/bin/perl
# t/065-explain.t - gatepost explain: the story of sessions and messages, from what every process told, through Redis and without it.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::MilterServer qw(add change packet);
use Gatepost::Process qw(spew wait_for);
use Gatepost::Redis;
use Gatepost::Sink;
use Gatepost::Test;
use JSON::PP qw(decode_json);
use Test::More;

my $sink = Gatepost::Sink->new;
my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
my $dir = tempdir('gatepost-explain.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $filter = Gatepost::Milter->new('dkim', $dir) or plan skip_all => 'no dkim milter';
$filter->client; # it is there
my $editor = Gatepost::MilterServer->new;
$editor->script(on => { E => change(1, 'Subject', 'y') . change(1, 'X-Old', '') . add('X-New', "v\n\tw") . packet('a') });
spew("$dir/old", "# moved\nold\@relay.test  new\@relay.test\n");
spew("$dir/never", "/^not\@/ REJECT\n/^never\@/ REJECT\n");
chmod 0644, "$dir/old", "$dir/never";
my %main_cf = (
    smtpd_milters                => $filter->endpoint . ' ' . $editor->endpoint,
    redis_server                 => $redis->endpoint,
    smtpd_reply_token            => 'yes',
    relay_domains                => 'relay.test, down.test',
    transport_maps               => 'inline:{ down.test=smtp:[127.0.0.1]:9 }',
    virtual_alias_maps           => 'inline:{ team@relay.test=bob@relay.test }',
    recipient_canonical_maps     => "texthash:$dir/old",
    smtpd_recipient_restrictions => "check_recipient_access inline:{ no\@relay.test=REJECT }, check_sender_access regexp:$dir/never, warn_if_reject reject_non_fqdn_helo_hostname, check_greylist",
    greylist_delay               => '10m',
    greylist_exempt_clients      => '192.0.2.0/24',
    bounce_queue_lifetime        => '0',
    maximal_queue_lifetime       => '0',
);
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => \%main_cf)->start;

sub client {
    my ($addr) = @_;
    my $c = $mta->smtp;
    $c->xclient(ADDR => $addr, NAME => 'client.test');
    $c->hello('client.test');
    return $c;
}
# Its answer, as soon as it is like that.
sub look {
    my ($match, @arguments) = @_;
    my ($rc, $text);
    wait_for(sub { ($rc, $text) = $mta->gatepost('explain', @arguments); $text =~ $match });
    return ($rc, $text);
}
sub story { return (look(@_))[1] }

my ($token, $id);
subtest 'a refused recipient' => sub {
    my $c = client('192.0.2.7');
    $c->say('MAIL FROM:<ann@far.test>');
    my $reply = $c->say('RCPT TO:<no@relay.test>');
    like $reply, qr/^554 5\.7\.1 .* \[(\w+)\]$/, 'the reply ends in a token';
    ($token) = $reply =~ /\[(\w+)\]$/;
    like $c->say('NONSENSE'), qr/^500 5\.5\.2 .* \[$token\]$/, 'every refusal of the session does';
    like $c->say('NOOP'), qr/^250 2\.0\.0 Ok$/, 'no other reply';
    $c->quit;
    my $text = story(qr/disconnect from/, $token);
    like $text, qr/\A\d{4}-\d\d-\d\d [\d:.]+ on \S+: session $token\n/, 'found by the token';
    like $text, qr/ smtpd +session of client\.test\[192\.0\.2\.7\] with service 127\.0\.0\.1:\d+$/m, 'who came';
    like $text, qr/ > MAIL FROM:<ann\@far\.test>\n +< 250 2\.1\.0 Ok  \(\d+\.\d{3} ms\)$/m, 'commands and replies';
    like $text, qr{smtpd_relay_restrictions \(\S+/main\.cf:\d+\) about <no\@relay\.test>: dunno\n +permit_mynetworks: dunno, [\d.]+ ms\n +reject_unauth_destination: dunno, [\d.]+ ms$}m,
        'restrictions without an opinion, and where they are set';
    like $text, qr{smtpd_recipient_restrictions \(\S+/main\.cf:\d+\) about <no\@relay\.test>: reject\n +check_recipient_access \S.*: REJECT, \d+ ms\n +check_recipient_access \S.*: reject, [\d.]+ ms$}m,
        'the one that refused';
    unlike $text, qr/\x0d|\x1b/, 'nothing raw';
};

subtest 'a refused sender' => sub {
    my $c = client('192.0.2.31');
    $c->say('MAIL FROM:<never@never.test>');
    my ($id) = $c->say('RCPT TO:<bob@relay.test>') =~ /\[(\w+)\]$/;
    $c->quit;
    like story(qr/disconnect/, $id), qr/check_sender_access regexp:$dir\/never: REJECT \(regexp:$dir\/never:2\), \d+ ms$/m, 'by which line';
};

subtest 'a message' => sub {
    my $c = client('192.0.2.8');
    my $reply = $c->mail('ann@far.test', [ 'team@relay.test', 'old@relay.test' ], "Subject: x\nX-Old: \e[1mz\nMessage-ID: <story\@far.test>\n\nhello\n");
    ($id) = $reply =~ /queued as (\w+)/;
    ok $id, 'taken';
    $c->quit;
    my $text = story(qr/\A(?=.*bob\@relay\.test>.*status=sent)(?=.*new\@relay\.test>.*status=sent)(?=.* removed$)(?=.*disconnect)/ms, $id);
    like $text, qr/ session of client\.test\[192\.0\.2\.8\]/, 'its session';
    like $text, qr/warn_if_reject reject_non_fqdn_helo_hostname: dunno/, 'with restrictions that would only warn';
    like $text, qr/ cleanup  $id +message-id=<story\@far\.test>$/m, 'cleanup';
    like $text, qr/ cleanup  $id +recipient <team\@relay\.test> becomes <bob\@relay\.test> by virtual_alias_maps \(\S+\/main\.cf:\d+\)$/m, 'rewriting by aliases';
    like $text, qr/ cleanup  $id +recipient <old\@relay\.test> becomes <new\@relay\.test> by recipient_canonical_maps \(\S+\/main\.cf:\d+\) texthash:$dir\/old:2$/m, 'and by canonical maps, with the line of the table';
    like $text, qr/ cleanup  $id +milters: unix:\S+ (?:accept|continue).* delay=\d+\.\d+/m, 'verdict and time of a filter';
    like $text, qr/ cleanup  $id +filter unix:\S+ (?:accept|continue).*, \d+\.\d{3} ms$/m, 'and at the end of the message';
    like $text, qr/ filter inet:\S+ accept changes=~Subject,-X-Old,\+X-New, \d+\.\d{3} ms\n +- Subject: x\n +\+ Subject: y\n +- X-Old: \?\[1mz\n +\+ X-New: v w$/m,
        'what a filter changed: before and after';
    like $text, qr/ qmgr     $id +from=<ann\@far\.test>, size=\d+, nrcpt=2 \(queue active\)$/m, 'queue';
    like $text, qr/ smtp     $id +to=<bob\@relay\.test>, orig_to=<team\@relay\.test>, relay=\S+, delay=.*, status=sent \(250 .*\)$/m, 'delivery';
    unlike $text, qr/192\.0\.2\.7/, 'and nothing of others';
    is((look(qr/ removed$/m, $_))[1], $text, "the same by $_") for '<story@far.test>', '192.0.2.8', 'OLD@relay.test';
    like story(qr/./, 'far.test'), qr/session $token\n.*\n\n\S+ \S+ on \S+: session /s, 'two stories, older first';
    like story(qr/./, '-n', 1, 'far.test'), qr/: session (?!$token).*\(1 earlier ones are not shown/s, '-n: the newest';
};

subtest 'a message that comes back' => sub {
    my $c = client('192.0.2.9');
    $c->mail('eve@relay.test', 'x@down.test', "Subject: x\n\nhello\n");
    $c->quit;
    my $text = story(qr/sender non-delivery notification: (\w+).* to=<eve\@relay\.test>.*status=sent/s, 'x@down.test');
    like $text, qr/to=<x\@down\.test>, relay=none, .*status=deferred \(connect to 127\.0\.0\.1.*Connection refused\)/, 'why';
    like $text, qr/sender non-delivery notification: (\w+)\n(?s:.*) \1 +to=<eve\@relay\.test>.*status=sent/m, 'the notification belongs to its story';
};

subtest 'greylisting' => sub {
    my $c = client('203.0.113.5');
    $c->say('MAIL FROM:<ann@far.test>');
    my ($grey) = $c->say('RCPT TO:<bob@relay.test>') =~ /^450 .*\[(\w+)\]$/;
    $c->quit;
    like story(qr/disconnect/, $grey), qr/check_greylist: DEFER_IF_PERMIT .* \(203\.0\.113\.0\/24: wait, 600 s\), \d+ ms$/m, 'policyd says why';
};

subtest 'lists and JSON' => sub {
    my $text = story(qr/203\.0\.113\.5/);
    like $text, qr/^\S+ \S+  $token  client\.test\[192\.0\.2\.7\]  <ann\@far\.test> -> <no\@relay\.test>  5\d\d .*$/m, 'without a key: all, one line each';
    like $text, qr/^\S+ \S+  \w+  client\.test\[192\.0\.2\.8\]  <ann\@far\.test> -> <old\@relay\.test>  status=sent/m, 'with what became of them';
    my @events = map { decode_json($_) } split /\n/, story(qr/removed/, '--json', $id);
    cmp_ok scalar @events, '>', 10, 'JSON, one event a line';
    my ($checks) = grep { $_->{kind} eq 'check' && $_->{list} eq 'smtpd_relay_restrictions' } @events;
    like $checks->{where}, qr{/main\.cf:\d+$}, 'place of a rule';
    ok $checks->{ts} > 1e15 && $checks->{node} && $checks->{c} eq 'smtpd' && length $checks->{sid}, 'time, host, program, session';
    ok((grep { $_->{kind} eq 'command' && $_->{us} > 0 && $_->{reply} =~ /^250 / } @events), 'duration of a command');
    is(($mta->gatepost('explain', 'nobody@nowhere.test'))[0], 1, 'nothing is known of others');
    like(($mta->gatepost('explain', '--since', 'yesterday'))[1], qr/usage: explain/, 'usage');
    unlike(($mta->gatepost('explain', '--since', '1h', '--list', $token))[1], qr/192\.0\.2\.8/, '--list of some');
};

subtest 'secrets and hostile bytes' => sub {
    my $c = client('192.0.2.66');
    $c->say("AUTH PLAIN c2VjcmV0\x01");
    $c->say("MAIL FROM:<a\"\\\x1b[31m\xff\@far.test>");
    $c->say("HELO x\x07\xc3\xa9\"y");
    $c->quit;
    my $text = story(qr/disconnect from client\.test\[192\.0\.2\.66\]/, '192.0.2.66');
    unlike $text, qr/c2VjcmV0/, 'what AUTH carries is not told';
    unlike $text, qr/[\x00-\x09\x0b-\x1f\x7f-\xff]/, 'nothing a terminal would obey';
    my $json = story(qr/disconnect/, '--json', '192.0.2.66');
    ok((eval { decode_json($_); 1 } // 0), "JSON: $_") for split /\n/, $json;
};

subtest 'a fleet' => sub {
    ok wait_for(sub { ($redis->command('XLEN', 'gp:explain') // 0) > 0 }), 'events are in Redis';
    my $other = Gatepost::Test->new(main_cf => { redis_server => $redis->endpoint });
    my ($rc, $text);
    wait_for(sub { ($rc, $text) = $other->gatepost('explain', $id); $text =~ / removed$/m });
    is $rc, 0, 'another host knows the story';
    like $text, qr/ smtp     $id +to=<bob\@relay\.test>/, 'with its end';
};

subtest 'without Redis' => sub {
    $redis->stop;
    my $c = client('192.0.2.21');
    like $c->mail('ann@far.test', 'bob@relay.test', "Subject: x\n\nhello\n"), qr/^250/, 'mail goes on';
    $c->quit;
    my ($rc, $text) = look(qr/status=sent/, '192.0.2.21');
    like $text, qr/gatepost: warning: what other hosts did is not known/, 'is said';
    like $text, qr/to=<bob\@relay\.test>.*status=sent/, 'and the ring knows';
    $redis->start;
    my $other = Gatepost::Test->new(main_cf => { redis_server => $redis->endpoint });
    ok wait_for(sub { ($other->gatepost('explain', '192.0.2.21'))[1] =~ /status=sent/ }, 30), 'what happened meanwhile is shared when it is back';
} if $redis->can('start') && $redis->can('stop');

subtest 'the explain service dies' => sub {
    my ($pid) = $mta->pids('explain');
    kill 'KILL', $pid;
    my $c = client('192.0.2.22');
    like $c->mail('ann@far.test', 'bob@relay.test', "Subject: x\n\nhello\n"), qr/^250/, 'mail goes on';
    $c->quit;
    ok wait_for(sub { ($mta->gatepost('explain', '192.0.2.22'))[1] =~ /status=sent/ }, 20), 'and its story is told to the next one';
};

$mta->stop(deaths => 1);
done_testing;
