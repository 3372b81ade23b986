#!/usr/bin/perl
# t/421-smtp-servers.t - which servers the SMTP client tries, in which order, and how it begins to talk to them: one transport for each setting.
use strict;
use warnings;
use Gatepost::DNS;
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $sink = Gatepost::Sink->new;
my $port = $sink->port;
my @busy = map { Gatepost::Sink->new(address => "127.0.0.$_", port => $port, on => { MAIL => '421 4.3.2 busy' }) } 84, 85;
my $no   = Gatepost::Sink->new(address => '127.0.0.86', port => $port, greeting => '554 5.7.1 no service for you');
my $both = { A => ['127.0.0.1'], AAAA => ['::1'] }; # nobody listens at the second
my $dns  = Gatepost::DNS->new(
    'many.test'    => { MX => [ '10 dead.many.test.', '20 up.test.' ] },
    'dead.many.test' => { A => [ map { "127.0.0.$_" } 81 .. 83 ] },
    'up.test'      => { A => ['127.0.0.1'] },
    'busy.test'    => { MX => [ '10 busy1.test.', '20 busy2.test.', '30 up.test.' ] },
    'busy1.test'   => { A => ['127.0.0.84'] },
    'busy2.test'   => { A => ['127.0.0.85'] },
    'no.test'      => { MX => [ '10 mx.no.test.', '20 up.test.' ] },
    'mx.no.test'   => { A => ['127.0.0.86'] },
    'both.test'    => $both,
    'balance.test' => { MX => [ '10 dead.many.test.', '20 six.test.' ] },
    'six.test'     => { AAAA => ['::1'] },
    'sick.test'    => { MX => 'SERVFAIL', A => ['127.0.0.1'] },
    'orphan.test'  => { MX => ['10 nowhere.test.'] },
);

# name => [ domain of the servers, options ]
my %transport = (
    addresses   => [ 'many.test',    'smtp_mx_address_limit=2' ],
    alladdresses => [ 'many.test',   'smtp_mx_address_limit=0' ],
    sessions    => [ 'busy.test',    'smtp_mx_session_limit=2' ],
    allsessions => [ 'busy.test',    'smtp_mx_session_limit=0' ],
    skip        => [ 'no.test',      '' ],
    noskip      => [ 'no.test',      'smtp_skip_5xx_greeting=no' ],
    six         => [ 'both.test',    'inet_protocols=all', 'smtp_address_preference=ipv6' ],
    four        => [ 'both.test',    'inet_protocols=all', 'smtp_address_preference=ipv4' ],
    balanced    => [ 'balance.test', 'inet_protocols=all', 'smtp_mx_address_limit=2', 'smtp_address_preference=any' ],
    unbalanced  => [ 'balance.test', 'inet_protocols=all', 'smtp_mx_address_limit=2', 'smtp_address_preference=any', 'smtp_balance_inet_protocols=no' ],
    fixed       => [ 'many.test',    'smtp_mx_address_limit=3', 'smtp_randomize_addresses=no' ],
    sick        => [ 'sick.test',    '' ],
    ignore      => [ 'sick.test',    'ignore_mx_lookup_error=yes' ],
    orphan      => [ 'orphan.test',  '' ],
    orphanlater => [ 'orphan.test',  'smtp_defer_if_no_mx_address_found=yes' ],
    native      => [ '[localhost]',  'smtp_host_lookup=native' ],
    never       => [ 'up.test',      'smtp_never_send_ehlo=yes' ],
    always      => [ 'up.test',      'smtp_always_send_ehlo=no' ],
    name        => [ 'up.test',      'smtp_helo_name=other.name.test' ],
    filtered    => [ 'busy.test',    'smtp_mx_session_limit=1', 'default_delivery_status_filter=pcre:$config_directory/status' ],
);
my $mta = Gatepost::Test->new(
    files   => { status => "/^4(\\.3\\.2 .*busy.*)/ 5\$1\n" },
    main_cf => {
        relay_domains => join(', ', map { "$_.in.test" } keys %transport), dns_servers => $dns->address, dns_hosts_file => '',
        transport_maps => 'inline:{ ' . join(', ', map { "{ $_.in.test = $_:$transport{$_}[0]:$port }" } sort keys %transport) . ' }',
        minimal_backoff_time => '300s', maximal_backoff_time => '300s', inet_interfaces => '127.0.0.1', notify_classes => '',
    },
    master_cf => join("\n", (map { my ($name, @options) = ($_, @{ $transport{$_} }); shift @options;
        "$name unix - - n - - smtp -o syslog_name=$name " . join ' ', map { "-o { $_ }" } grep { length } @options } sort keys %transport), ''),
)->start;
my $c = $mta->smtp;
$c->mail('ann@a.test', "bob\@$_.in.test", "Subject: $_\n\nhello\n") for sort keys %transport;
$c->quit;

# The result, and the addresses that were tried in vain before.
sub result { my ($name) = @_; return $mta->result_of("bob\@$name.in.test") }
sub failed { my ($name) = @_; return $mta->log =~ /$name\/smtp\[\d+\]: (?:\w+: )?connect to \S+?\[([\w.:]+)\]:$port: /g }
sub heard_for { my ($name) = @_; my ($pid) = $sink->heard =~ /^(\d+) RCPT TO:<bob\@$name\.in\.test>/m or return ''; return join "\n", $sink->heard =~ /^$pid (.*)$/mg }

subtest 'limits' => sub {
    like result('addresses'), qr/dsn=4\.4\.1, status=deferred/, 'smtp_mx_address_limit: what is not among the first is not tried';
    is scalar(failed('addresses')), 1, 'two addresses: one, and the one whose failure was the last word';
    like result('addresses'), qr/relay=none, .*\(connect to dead\.many\.test\[127\.0\.0\.8[123]\]:$port: Connection refused\)/, 'that one';
    like result('alladdresses'), qr/relay=up\.test\[127\.0\.0\.1\]:$port, .*status=sent/, 'no limit';
    is join(' ', sort { $a cmp $b } failed('alladdresses')), '127.0.0.81 127.0.0.82 127.0.0.83', 'after all of the better ones';
    like result('sessions'), qr/relay=busy2\.test\[127\.0\.0\.85\]:$port, .*dsn=4\.3\.2, status=deferred \(host busy2\.test\[127\.0\.0\.85\] said: 421 4\.3\.2 busy \(in reply to MAIL FROM command\)\)/, 'smtp_mx_session_limit: the second session is the last';
    like result('allsessions'), qr/relay=up\.test\S+, .*status=sent/, 'no limit';
    is join(' ', failed('fixed')), '127.0.0.81 127.0.0.82 127.0.0.83', 'smtp_randomize_addresses = no: as the name server has them';
};

subtest 'families' => sub {
    like result($_), qr/relay=both\.test\[127\.0\.0\.1\]:$port, .*status=sent/, "$_: delivered" for qw(six four);
    is join(' ', failed('six')), '::1', 'smtp_address_preference = ipv6: that one first';
    is join(' ', failed('four')), '', 'ipv4: not at all';
    result($_) for qw(balanced unbalanced);
    is scalar(grep { $_ eq '::1' } failed('balanced')), 1, 'smtp_balance_inet_protocols: one of each family before the limit';
    is scalar(grep { $_ eq '::1' } failed('unbalanced')), 0, 'or by preference only';
};

subtest 'greetings' => sub {
    like result('skip'), qr/relay=up\.test\[127\.0\.0\.1\]:$port, .*status=sent/, 'after a 5xx greeting the next server';
    like result('noskip'), qr/relay=mx\.no\.test\[127\.0\.0\.86\]:$port, .*dsn=5\.7\.1, status=bounced \(host mx\.no\.test\[127\.0\.0\.86\] refused to talk to me: 554 5\.7\.1 no service for you\)/, 'smtp_skip_5xx_greeting = no: bounced';
    result($_) for qw(never always name);
    like heard_for('never'), qr/^HELO mx\.gate\.test\nMAIL/, 'smtp_never_send_ehlo';
    like heard_for('always'), qr/^EHLO mx\.gate\.test\nMAIL/, 'smtp_always_send_ehlo = no: EHLO where the greeting says ESMTP';
    like heard_for('name'), qr/^EHLO other\.name\.test\n/, 'smtp_helo_name';
};

subtest 'lookups' => sub {
    like result('sick'), qr/dsn=4\.4\.3, status=deferred \(.*name=sick\.test type=MX: Host not found, try again\)/, 'no answer about MX';
    like result('ignore'), qr/relay=sick\.test\[127\.0\.0\.1\]:$port, .*status=sent/, 'ignore_mx_lookup_error: the domain itself';
    like result('orphan'), qr/dsn=5\.4\.4, status=bounced/, 'MX without address';
    like result('orphanlater'), qr/dsn=4\.4\.4, status=deferred/, 'smtp_defer_if_no_mx_address_found';
    like result('native'), qr/relay=localhost\[127\.0\.0\.1\]:$port, .*status=sent/, 'smtp_host_lookup = native: the hosts file';
};

subtest 'status filters' => sub {
    like result('filtered'), qr/dsn=5\.3\.2, status=bounced/, 'default_delivery_status_filter is that of smtp';
};

$mta->stop;
done_testing;
