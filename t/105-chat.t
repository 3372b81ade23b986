#!/usr/bin/perl
# t/105-chat.t - the sessions of t/chat, said to Gatepost and compared with what was recorded; said to a Postfix with the same main.cf, too, where
# one is installed: reply codes and enhanced codes are the same but for what t/chat/differences lists with a reason.
# CHAT_RECORD=1 writes down what Gatepost answers; CHAT_TEXT=1 shows where the words differ.
use strict;
use warnings;
use FindBin;
use Gatepost::Certs;
use Gatepost::DNS;
use Gatepost::Dovecot;
use Gatepost::Policy;
use Gatepost::Postfix;
use Gatepost::Process qw(slurp spew);
use Gatepost::Sink;
use Gatepost::Test;
use Gatepost::Transcript;
use IO::Socket::INET;
use Test::More;

my $chat = "$FindBin::Bin/chat";
my $wanted = $ENV{CHAT} // '*';
my $dovecot = Gatepost::Dovecot::installed() && Gatepost::Dovecot->new(ann => 'secret');
my @scripts = map { Gatepost::Transcript->load($_) } grep { $dovecot || !/-auth/ } sort glob "$chat/$wanted.chat";
my @listeners = map { @{ $_->{listeners} } } @scripts;
my $certs = Gatepost::Certs->new;
$certs->make('mx.gate.test');
my @offers = ('8BITMIME', 'DSN', 'SMTPUTF8', 'XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE');
my $yes = Gatepost::Sink->new(ehlo => \@offers, rcpt => { 'no@relay.test' => '550 5.1.1 not here, says the filter', 'bare@relay.test' => '450 later' });
my $no = Gatepost::Sink->new(ehlo => \@offers, eod => "550-5.7.1 the filter\r\n550 5.7.1 says no");
my $policy = Gatepost::Policy->new(action => 'REJECT the policy server says no');

my %zone = (
    'good.test'  => { MX => ['10 mx.good.test'], A => ['192.0.2.10'] },
    'mx.good.test' => { A => ['192.0.2.10'] },
    'client.test' => { A => ['192.0.2.11'] },
    'nullmx.test' => { MX => ['0 .'] },
    'soft.test'  => { MX => 'SERVFAIL', A => 'SERVFAIL', AAAA => 'SERVFAIL' },
    'badmx.test' => { MX => ['10 mx.bad.test'] },
    'mx.bad.test' => { A => ['192.0.2.66'] },
    'badns.test' => { MX => ['10 mx.good.test'], NS => ['ns.bad.test'] },
    'ns.bad.test' => { A => ['192.0.2.67'] },
    '1.2.0.192.bl.test' => { A => ['127.0.0.2'], TXT => ['listed for the test'] },
    '1.2.0.192.bl2.test' => { A => ['127.0.0.2'] },
    '2.2.0.192.bl.test' => { A => ['127.0.0.5'] },
    '3.2.0.192.wl.test' => { A => ['127.0.0.2'] },
    '3.2.0.192.bl.test' => { A => ['127.0.0.2'] },
    '4.2.0.192.bl.test' => { A => 'SERVFAIL' },
    'badmx.test.rhs.test' => { A => ['127.0.0.2'] },
    'good.test.rhw.test' => { A => ['127.0.0.2'] },
    'downlist.test.rhw.test' => { A => 'SERVFAIL' },
    'backedup.test' => { MX => ['10 mx.good.test', '20 mx.self.test'] },
    'otherwise.test' => { MX => ['10 mx.bad.test', '20 mx.self.test'] },
    'mx.self.test' => { A => ['127.0.0.1'] },
);

sub settings {
    my ($dns) = @_;
    my %cf;
    for my $line (split /\n/, slurp("$chat/main.cf")) {
        $cf{$1} = $2 if $line =~ /^(\w+) = ?(.*)/;
    }
    return { %cf, smtpd_tls_chain_files => $certs->file('mx.gate.test.pem'), smtpd_tls_CAfile => $certs->file('ca.crt'), dns_servers => $dns->address };
}

# One smtpd for each listener, with its settings.
sub rows {
    my ($ports, $chroot) = @_;
    my %server = (POLICY => $policy->endpoint, FILTER_YES => $yes->port, FILTER_NO => $no->port, DOVECOT => $dovecot && $dovecot->endpoint);
    return join '', map {
        my $l = $_;
        join('', "127.0.0.1:$ports->{$l} inet n - $chroot - 1 smtpd\n",
            map { "  -o {$_ = " . ($l->{settings}{$_} =~ s/\b(POLICY|FILTER_YES|FILTER_NO|DOVECOT)\b/$server{$1}/gr) . "}\n" } sort keys %{ $l->{settings} });
    } @listeners;
}

sub name { return $_[0]{path} =~ s{.*/}{}r . " [$_[1]{name}] $_[2]{title}" }

# As many ports, all different, that nobody listens on now.
sub ports {
    my @held = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die "no free port: $!" } @listeners;
    return map { $listeners[$_] => $held[$_]->sockport } 0 .. $#listeners;
}

my %ports = ports();
my $dns = Gatepost::DNS->new(%zone);
my $mta = Gatepost::Test->new(main_cf => { %{ settings($dns) }, smtpd_workers => 1 }, master_cf => rows(\%ports, 'n'))->start;
my %said;

for my $script (@scripts) {
    subtest $script->{path} =~ s{.*/}{}r => sub {
        for my $listener (@{ $script->{listeners} }) {
            for my $session (@{ $listener->{sessions} }) {
                my $replies = $said{$session} = Gatepost::Transcript::play($session, $ports{$listener});
                my @expected = map { $_->{replies} } @{ $session->{steps} };
                is_deeply $replies, \@expected, "[$listener->{name}] $session->{title}" unless $ENV{CHAT_RECORD};
                $session->{steps}[$_]{replies} = $replies->[$_] // [] for 0 .. $#{ $session->{steps} };
            }
        }
        $script->save if $ENV{CHAT_RECORD};
        pass 'recorded' if $ENV{CHAT_RECORD};
    };
}
cmp_ok scalar(map { @{ $_->{sessions} } } @listeners), '>=', 120, 'as many sessions as there should be' if $wanted eq '*';

# ---- the same said to Postfix ----

# "file [listener] title: step: codes of Postfix: reason" by the first three.
sub differences {
    my %known;
    for my $line (grep { /^[^#\s]/ } split /\n/, slurp("$chat/differences")) {
        my ($where, $codes, $reason) = $line =~ /^(.*: \d+): (.*?): (\S.*)/ or die "t/chat/differences: cannot read: $line\n";
        $known{$where} = $codes;
    }
    return \%known;
}

sub compare {
    my ($postfix_ports, $known) = @_;
    for my $script (@scripts) {
        for my $listener (grep { "@{ $_->{notes} }" !~ /ours alone/ } @{ $script->{listeners} }) {
            for my $session (@{ $listener->{sessions} }) {
                my $name = name($script, $listener, $session);
                my $theirs = Gatepost::Transcript::play($session, $postfix_ports->{$listener});
                my @different;
                for my $i (0 .. $#{ $session->{steps} }) {
                    my $step = $session->{steps}[$i];
                    my ($we, $they) = map { Gatepost::Transcript::codes($step, @{ $_->[$i] // [] }) } $said{$session}, $theirs;
                    diag "$name: $i:\n we   @{$said{$session}[$i] // []}\n they @{$theirs->[$i] // []}"
                        if $ENV{CHAT_TEXT} && "@{$said{$session}[$i] // []}" ne "@{$theirs->[$i] // []}";
                    my $listed = delete $known->{"$name: $i"};
                    next if $we eq $they ? !defined $listed : ($listed // '') eq $they;
                    push @different, "$name: $i: $they: (" . ($step->{say} // 'greeting') . ": we answer $we)";
                }
                ok !@different, $name or diag join "\n", @different;
            }
        }
    }
}

SKIP: {
    skip 'no Postfix to compare with, or no root to run it', 1 unless Gatepost::Postfix::installed();
    skip 'compared without sanitizers', 1 if $ENV{ASAN_OPTIONS}; # our answers are the same, and were checked above
    my $address = join '.', 127, map { 1 + int rand 250 } 1 .. 3;
    my $resolver = Gatepost::DNS->new(%zone, -port => 53, -address => $address);
    my %postfix_ports = ports();
    my $postfix = Gatepost::Postfix->new(main_cf => settings($resolver), master_cf => rows(\%postfix_ports, 'y'));
    mkdir "$postfix->{dir}/queue/etc";
    spew("$postfix->{dir}/queue/etc/resolv.conf", "nameserver $address\n");
    $postfix->start;
    subtest 'compared with Postfix' => sub {
        my $known = differences();
        compare(\%postfix_ports, $known);
        is_deeply [ sort keys %$known ], [], 'every listed difference was met' if $wanted eq '*';
    };
    $postfix->stop;
}

$mta->stop;
done_testing;
