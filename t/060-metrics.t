#!/usr/bin/perl
# t/060-metrics.t - what is counted: one page for all workers, in the format Prometheus reads, true to what happened.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Process qw(free_port slurp spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use IO::Socket::INET;
use JSON::PP qw(decode_json encode_json);
use Test::More;

my $sink = Gatepost::Sink->new;
my $port = free_port();
my $mta = Gatepost::Test->new(sink => $sink->port, master_cf => "127.0.0.1:$port inet n - n - 4 metrics\n", main_cf => {
    smtpd_workers => 2,
    smtpd_recipient_restrictions => 'check_recipient_access inline:{ no@relay.test=REJECT }',
    smtpd_sender_restrictions => 'check_sender_access inline:{ later@far.test=DEFER }',
    message_size_limit => 100000,
})->start;

# One HTTP request in its own words: (status, body, header).
sub http {
    my ($request, $more) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 10) or die "port $port: $!";
    print $s $request . "\r\n" . ($more // "Host: localhost\r\nConnection: close\r\n") . "\r\n";
    local $/;
    my $all = <$s> // '';
    my ($head, $body) = split /\r\n\r\n/, $all, 2;
    return ($head =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0, $body // '', $head);
}
sub page { return (http('GET /metrics HTTP/1.1'))[1] }
sub value {
    my ($page, $series) = @_;
    return $page =~ /^\Q$series\E (\S+)$/m ? $1 : undef;
}

my ($status, $page, $head) = http('GET /metrics HTTP/1.1');
is $status, 200, 'GET /metrics';
like $head, qr{^Content-Type: text/plain; version=0\.0\.4; charset=utf-8\r?$}m, 'the type Prometheus asks for';
like $page, qr/^gatepost_build_info\{version="[\d.]+"\} 1$/m, 'version';
is value($page, 'gatepost_processes{command="smtpd",service="127.0.0.1:' . $mta->port . '"}'), 2, 'processes of a service';
cmp_ok value($page, 'gatepost_process_resident_bytes{command="qmgr",service="qmgr"}'), '>', 100_000, 'their memory';
is value($page, 'gatepost_queue_messages{queue="deferred"}'), 0, 'queues';
is value($page, 'gatepost_message_size_bytes_count'), 0, 'a counter is there before it counts';

subtest 'counted over all workers' => sub {
    my @clients = map { $mta->smtp } 1 .. 4;
    my $now = page();
    my $service = '127.0.0.1:' . $mta->port;
    is value($now, "gatepost_smtpd_sessions{service=\"$service\"}"), 4, 'sessions now';
    for my $c (@clients) {
        $c->say('MAIL FROM:<ann@far.test>');
        like $c->say('RCPT TO:<no@relay.test>'), qr/^554/, 'a recipient is refused';
        $c->say('RSET');
        like $c->mail('ann@far.test', 'bob@relay.test', "Subject: x\n\nhello\n"), qr/^250/, 'a message is taken';
        $c->quit;
    }
    ok wait_for(sub { (() = $mta->log =~ /status=sent/g) == 4 }), 'four messages delivered';
    ok wait_for(sub { $now = page(); (value($now, "gatepost_smtpd_sessions{service=\"$service\"}") // 1) == 0 }), 'no sessions any more';
    is value($now, "gatepost_smtpd_connections_total{service=\"$service\",result=\"all\"}"), 5, 'connections (one looked whether the port is open)';
    is value($now, "gatepost_smtpd_commands_total{service=\"$service\",verb=\"RCPT\",result=\"done\"}"), 4, 'commands';
    is value($now, "gatepost_smtpd_commands_total{service=\"$service\",verb=\"RCPT\",result=\"refused\"}"), 4, 'refused ones';
    is value($now, 'gatepost_smtpd_refusals_total{stage="RCPT",code="554",dsn="5.7.1"}'), 4, 'refusals by stage and code';
    is value($now, 'gatepost_restriction_decisions_total{restriction="check_recipient_access",list="smtpd_recipient_restrictions",decision="reject"}'), 4,
        'by restriction';
    is value($now, 'gatepost_check_verdicts_total{check="check_recipient_access",verdict="reject"}'), 4, 'checks of policyd';
    is value($now, 'gatepost_check_verdicts_total{check="check_recipient_access",verdict="dunno"}'), 4, 'without an opinion, too';
    cmp_ok value($now, 'gatepost_policy_request_seconds_count{server="policyd"}'), '>=', 8, 'questions to policyd';
    is value($now, 'gatepost_messages_total{result="queued"}'), 4, 'messages';
    is value($now, 'gatepost_message_size_bytes_bucket{le="1024"}'), 4, 'their size';
    is value($now, 'gatepost_queue_commit_seconds_count'), 4, 'each made durable';
    is value($now, 'gatepost_delivery_attempts_total{service="smtp",status="sent"}'), 4, 'deliveries';
    is value($now, 'gatepost_delivery_seconds_count{service="smtp",phase="transfer"}'), 4, 'their phases';
    cmp_ok value($now, 'gatepost_delivery_tls_total{service="smtp",version="none",level="may"}') // value($now, 'gatepost_delivery_tls_total{service="smtp",version="none",level="none"}'), '>=', 1, 'sessions without TLS';
    ok wait_for(sub { value(page(), 'gatepost_qmgr_active_messages') == 0 }), 'nothing is active';
};

subtest 'what a process held goes with it' => sub {
    my $c = $mta->smtp;
    my $service = '127.0.0.1:' . $mta->port;
    is value(page(), "gatepost_smtpd_sessions{service=\"$service\"}"), 1, 'a session';
    my %pid = map { /^(\d+) smtpd / ? ($1 => 1) : () } split /\n/, (http('GET /processes HTTP/1.1'))[1];
    is scalar keys %pid, 2, 'workers by process id';
    kill 'KILL', keys %pid;
    ok wait_for(sub { (value(page(), 'gatepost_worker_deaths_total{command="smtpd"}') // 0) == 2 }), 'deaths are counted';
    ok wait_for(sub { (value(page(), "gatepost_smtpd_sessions{service=\"$service\"}") // 1) == 0 }), 'their sessions are not counted any more';
    is value(page(), "gatepost_smtpd_connections_total{service=\"$service\",result=\"all\"}"), 6, 'what they counted is';
};

subtest 'reload' => sub {
    $mta->reconfigure(smtpd_workers => 1);
    ok wait_for(sub { (value(page(), 'gatepost_reloads_total{result="done"}') // 0) == 1 }), 'is counted';
    is value(page(), 'gatepost_messages_total{result="queued"}'), 4, 'and loses nothing';
};

subtest 'other requests' => sub {
    is_deeply [ (http('GET /healthz HTTP/1.1'))[ 0, 1 ] ], [ 200, "alive\n" ], '/healthz';
    is_deeply [ (http('GET /readyz HTTP/1.1'))[ 0, 1 ] ], [ 200, "ready\n" ], '/readyz';
    is((http('GET / HTTP/1.1'))[0], 404, 'no such page');
    is((http('GET /../../etc/passwd HTTP/1.1'))[0], 404, 'nor file');
    is((http('POST /metrics HTTP/1.1'))[0], 405, 'nothing is taken');
    is((http('nonsense'))[0], 400, 'nonsense');
    my ($code, $body, $header) = http('HEAD /metrics HTTP/1.1');
    ok $code == 200 && $body eq '' && $header =~ /Content-Length: [1-9]/, 'HEAD';
    is((http('GET /metrics HTTP/1.0', ''))[0], 200, 'HTTP/1.0');
    is((http('GET /metrics HTTP/1.1', join '', map { "X-$_: 1\r\n" } 1 .. 200))[0], 400, 'a header without end');
    my ($two) = (http("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1"))[1];
    like $two, qr/^alive\n.*ready\n$/s, 'two requests on one connection';
};

subtest 'gatepost status' => sub {
    my ($rc, $text);
    my $qmgr = qr/^  qmgr +qmgr +[12] +[\d.]+ MiB$/m;
    wait_for(sub { ($rc, $text) = $mta->gatepost('status'); $text =~ $qmgr }); # the reload's successors come one after the other
    is $rc, 0, 'runs';
    like $text, qr/^running, process \d+\n.*^deferred +0$/ms, 'process and queues';
    like $text, qr/^sessions +0 now, 6 since the start$/m, 'sessions';
    like $text, qr/^messages +queued 4$/m, 'messages';
    like $text, qr/^refusals +RCPT 4$/m, 'refusals';
    like $text, qr/^delivered +sent 4$/m, 'deliveries';
    like $text, qr/^policy +policyd: \d+ asked, 0 failed, half within [\d.]+ ms, 95% within [\d.]+ ms$/m, 'policy servers';
    like $text, qr/^check +check_recipient_access: 8 asked/m, 'checks';
    like $text, qr/^deaths +smtpd 2$/m, 'deaths';
    like $text, $qmgr, 'processes';
    my $json = decode_json(($mta->gatepost('status', '--json'))[1]);
    is_deeply [ @$json{qw(running deferred messages deliveries refusals)} ], [ JSON::PP::true, 0, { queued => 4 }, { sent => 4 }, { RCPT => 4 } ], '--json';
    is $json->{sessions}{all}, 6, 'with sessions';
    ok((grep { $_->{name} eq 'policyd' && $_->{p95_ms} > 0 } @{ $json->{policy} }), 'policy servers');
    ok((grep { $_->{command} eq 'qmgr' && $_->{count} >= 1 && $_->{resident_bytes} > 100_000 } @{ $json->{processes} }), 'and processes');
    is(($mta->gatepost('status', '--ready'))[0], 0, '--ready');
};

subtest 'gatepost top' => sub {
    local $mta->{stdin} = 0;
    my ($rc, $text) = $mta->gatepost('top', '-d', '1', '-n', '1');
    is $rc, 0, 'one look';
    like $text, qr/^\d\d:\d\d:\d\d  0 sessions, 0 messages being delivered\nsessions\/s +0\.0 new, 0\.0 over a limit\n/, 'sessions';
    like $text, qr/^queues +maildrop 0, incoming 0, active 0, deferred 0, hold 0, corrupt 0$/m, 'queues';
    like $text, qr/^ +\d+ +[\d.]+  qmgr +qmgr$/m, 'processes';
    unlike $text, qr/\033/, 'no escapes where there is no screen';
    is(($mta->gatepost('top', '-d', 'x'))[0], 64, 'usage');
    my $look = decode_json(($mta->gatepost('top', '-d', '1', '-n', '1', '--json'))[1]);
    is_deeply [ $look->{sessions}, $look->{active}, $look->{'messages/s'}{queued} ], [ 0, 0, 0 ], '--json: rates';
    is scalar(grep { $_->{command} eq 'qmgr' } @{ $look->{processes} }), 1, 'and processes';
};

# Dashboard and rules are about metrics that exist, in the language of Prometheus.
subtest 'contrib' => sub {
    my $contrib = dirname(dirname(abs_path(__FILE__))) . '/contrib/prometheus';
    my $dashboard = slurp("$contrib/grafana-dashboard.json");
    my %known = map { $_ => 1 } slurp(dirname(dirname(abs_path(__FILE__))) . '/lib/base/metrics_rows.c') =~ /"(gatepost_\w+)"/g, page() =~ /^# TYPE (\S+)/mg;
    for my $text ($dashboard, slurp("$contrib/gatepost.rules.yml")) {
        my @unknown = grep { (my $base = $_) =~ s/_(?:bucket|sum|count)$//; !$known{$_} && !$known{$base} } $text =~ /\b(gatepost_\w+)/g;
        is "@unknown", '', 'names only what is counted';
    }
    my @queries = map { map { $_->{expr} } @{ $_->{targets} || [] } } @{ decode_json($dashboard)->{panels} };
    cmp_ok scalar @queries, '>', 20, 'queries of the dashboard';
    my ($promtool) = grep { -x } map { "$_/promtool" } split /:/, $ENV{PATH};
    plan skip_all => 'no promtool' unless $promtool;
    my $dir = $mta->dir;
    spew("$dir/page", page());
    is `promtool check metrics <'$dir/page' 2>&1`, '', 'promtool has nothing to say against the page';
    s/\$__rate_interval/5m/g, s/\$instance/.*/g for @queries;
    my $n = 0;
    spew("$dir/queries.yml", encode_json({ groups => [ { name => 'dashboard', rules => [ map { { record => 'q' . $n++, expr => $_ } } @queries ] } ] }));
    like `promtool check rules '$dir/queries.yml' 2>&1`, qr/SUCCESS: $n rules found/, 'the dashboard asks in PromQL';
    like `promtool check rules '$contrib/gatepost.rules.yml' 2>&1`, qr/SUCCESS: \d+ rules found/, 'alerts, too';
    like `cd '$contrib' && promtool test rules gatepost.rules.test.yml 2>&1`, qr/SUCCESS/, 'and they fire when they should';
    like `promtool check config '$contrib/prometheus.yml' 2>&1`, qr/SUCCESS: .*prometheus\.yml is valid/, 'the sample configuration';
};

$mta->stop(deaths => 1);
is(($mta->gatepost('status', '--ready'))[0], 1, 'status --ready of an instance that does not run');
like(($mta->gatepost('top', '-n', '1'))[1], qr/^gatepost: nobody answers/, 'top, too');
done_testing;
