#!/usr/bin/perl
# t/735-spf-suite.t - check_spf against the RFC 7208 test suite of openspf.org, as packages of the distribution bring it: result and
# explanation of every case. GP_SPF_SUITE names another copy.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Gatepost::Ask;
use Gatepost::DNS;
use Gatepost::Test;
use JSON::PP;
use Test::More;

my $file = $ENV{GP_SPF_SUITE} // '/usr/share/doc/python3-spf/rfc7208-tests.yml.gz';
plan skip_all => "no $file (package python3-spf)" unless -r $file;
my $read = 'import gzip, json, sys, yaml
f = gzip.open(sys.argv[1], "rb") if sys.argv[1].endswith("gz") else open(sys.argv[1], "rb")
print(json.dumps([d for d in yaml.load_all(f.read().decode("utf-8"), yaml.BaseLoader) if d]))';
open my $yaml, '-|', 'python3', '-c', $read, $file or die "python3: $!";
my $scenarios = eval { local $/; decode_json(<$yaml>) } or plan skip_all => 'no python3 with yaml';

# A scenario's records for the stub. Type SPF stands for TXT where a name has no TXT of its own; TXT "NONE" means none at all; TIMEOUT goes for
# every type that is not there.
sub zone {
    my ($data) = @_;
    my %zone;
    for my $name (keys %$data) {
        my (%r, $timeout, $spf);
        for my $record (@{ $data->{$name} }) {
            if (!ref $record) {
                $timeout = 1;
                next;
            }
            my ($type, $value) = %$record;
            utf8::encode($_) for ref $value ? @$value : $value;
            my $text = $type eq 'MX' ? "$value->[0] $value->[1]." : ref $value ? join('', @$value) : $type =~ /^(?:PTR|CNAME)$/ ? "$value." : $value;
            $text = '0 .' if $type eq 'MX' && $value->[1] eq '';
            $type eq 'SPF' ? push @{$spf}, $text : push @{ $r{$type} }, $text;
        }
        $r{TXT} //= $spf if $spf;
        delete $r{TXT} if ($r{TXT} // [''])->[0] eq 'NONE';
        if ($timeout) {
            $r{$_} //= 'SERVFAIL' for qw(A AAAA MX TXT PTR); # silence comes to the same, and takes longer
        }
        $zone{ $name =~ s/ /\\032/gr } = \%r; # as Net::DNS writes it
    }
    return %zone;
}

my $dns = Gatepost::DNS->new(-ttl => 0);
my $mta = Gatepost::Test->new(main_cf => {
    dns_servers => $dns->address, policyd_workers => 1, policyd_cache_size => 0, mynetworks => '10.255.255.1', spf_header => 'yes',
    spf_fail_action => '550 ${spf_explanation?$spf_explanation}', spf_temperror_action => 'DUNNO',
})->start;
my $ask;
my ($cases, $right, $told, $explained) = (0) x 4;

for my $scenario (@$scenarios) {
    my %zone = zone($scenario->{zonedata});
    $dns->replace(%zone);
    $ask = Gatepost::Ask->new("unix:$mta->{dir}/queue/private/policyd", restrictions => 'check_spf');
    for my $name (sort keys %{ $scenario->{tests} }) {
        my $t = $scenario->{tests}{$name};
        my @accepted = ref $t->{result} ? @{ $t->{result} } : $t->{result};
        my ($from, $helo) = map { my $s = $_; utf8::encode($s); $s } @$t{qw(mailfrom helo)};
        my $answer = $ask->ask(client_address => $t->{host}, helo_name => $helo, sender => $from);
        my ($got) = ($answer->{header} // '') =~ /^Received-SPF: (\w+)/;
        $cases++;
        my $good = ok((grep { $_ eq ($got // 'nothing') } @accepted), "$scenario->{description}: $name")
            or diag "expected @accepted, got " . ($got // 'nothing');
        $right += $good;
        next unless defined $t->{explanation};
        my ($text) = $answer->{action} =~ /^550 ?(.*)/;
        $told++;
        $explained += is lc($text // 'nothing'), $t->{explanation} eq 'DEFAULT' ? '' : lc $t->{explanation}, "$name explains";
    }
    # Failures are kept for some seconds, whatever their TTL; the next scenario has other names.
    $mta->gatepost('reload') if grep { grep { $_ eq 'SERVFAIL' } values %$_ } values %zone;
}
note "RFC 7208 suite: $right of $cases results, $explained of $told explanations";
$mta->stop;
done_testing;
