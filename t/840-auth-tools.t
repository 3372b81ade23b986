#!/usr/bin/perl
# t/840-auth-tools.t - gatepost dkim genkey and testkey, and gatepost dmarc report: from mail judged by the milter to a report in a mailbox.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use MIME::Base64 qw(decode_base64);
use POSIX qw(strftime);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::Process qw(slurp);
use Gatepost::Redis;
use Gatepost::Sink;
use Gatepost::Test;

plan skip_all => 'no DMARC milter' unless -x Gatepost::Milter::program('dmarc');
plan skip_all => 'Net::DNS is not installed' unless eval { require Gatepost::DNS };
my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
plan skip_all => 'no xmllint' if system('xmllint --version >/dev/null 2>&1') != 0;

my $schema = dirname(abs_path(__FILE__)) . '/data/dmarc-report.xsd';
my $dns = Gatepost::DNS->new(
    -ttl => 0,
    '_dmarc.far.test' => { TXT => ['v=DMARC1; p=quarantine; adkim=s; pct=100; rua=mailto:agg@far.test, mailto:agg@other.test,mailto:agg@third.test'] },
    'far.test._report._dmarc.third.test' => { TXT => ['v=DMARC1'] },
);
my $sink = Gatepost::Sink->new;
my $mta  = Gatepost::Test->new(sink => $sink->port, main_cf => {
    redis_server => $redis->endpoint, dns_servers => $dns->address, dmarc_report_org => 'gate.test', relay_domains => 'far.test, third.test, other.test',
})->start;
my $dir = $mta->dir;

subtest 'genkey and testkey' => sub {
    my %published;
    for my $kind (qw(rsa ed25519)) {
        my ($code, $text) = $mta->gatepost('dkim', 'genkey', '-t', $kind, 'our.test', "s$kind", "$dir/$kind.pem");
        is $code, 0, "genkey $kind" or diag $text;
        like $text, qr/^s$kind\._domainkey\.our\.test\. IN TXT \( "v=DKIM1; k=$kind; p=/, 'the record';
        like $text, qr{^; dkim_sign_table: our\.test  our\.test:s$kind:\Q$dir\E/$kind\.pem$}m, 'the entry';
        is +(stat "$dir/$kind.pem")[2] & 07777, 0600, 'for its owner alone';
        ok !grep({ length > 255 } $text =~ /"([^"]*)"/g), 'strings of 255 octets at most';
        $published{"s$kind._domainkey.our.test"} = { TXT => [ join '', $text =~ /"([^"]*)"/g ] };
        isnt +($mta->gatepost('dkim', 'genkey', 'our.test', 's', "$dir/$kind.pem"))[0], 0, 'an existing file stays';
        isnt +($mta->gatepost('dkim', 'testkey', 'our.test', "s$kind", "$dir/$kind.pem"))[0], 0, 'not published yet';
    }
    $dns->replace(%published, 'gone._domainkey.our.test' => { TXT => ['v=DKIM1; p='] }, 'down._domainkey.our.test' => { TXT => 'SERVFAIL' }, %{ $dns->{zone} });
    for my $kind (qw(rsa ed25519)) {
        my ($code, $text) = $mta->gatepost('dkim', 'testkey', 'our.test', "s$kind", "$dir/$kind.pem");
        is $code, 0, "testkey $kind" or diag $text;
        like $text, qr/is the key in/, 'says so';
    }
    my ($code, $text) = $mta->gatepost('dkim', 'testkey', 'our.test', 'srsa', "$dir/ed25519.pem");
    is $code, 65, 'another key';
    like $text, qr/another key than/, 'says so';
    like +($mta->gatepost('dkim', 'testkey', 'our.test', 'gone'))[1], qr/revoked/, 'revoked';
    is +($mta->gatepost('dkim', 'testkey', 'our.test', 'down'))[0], 75, 'no answer now';
    is +($mta->gatepost('dkim', 'testkey', 'our.test', 'a;b'))[0], 64, 'not a name';
    is +($mta->gatepost('dkim', 'genkey', '-b', '512', 'our.test', 's', "$dir/weak.pem"))[0], 64, 'not a weak one';
};

subtest 'reports' => sub {
    my $own = "$dir/milter";
    mkdir $own;
    Gatepost::Milter::own($own);
    my $milter = Gatepost::Milter->new('dmarc', $own, dns_servers => $dns->address, redis_server => $redis->endpoint, dmarc_reports => 'yes',
        dmarc_spf_source => 'header', maillog_file_prefixes => $own);
    my $text = join "\r\n", 'Authentication-Results: mx.test; dkim=pass header.d=evil.test header.s="<&\'>"', 'Received-SPF: softfail (x)',
        'From: Ann <ann@far.test>', '', 'Hello', '';
    $milter->mail($text, client => $_, from => 'x@evil.test') for ('198.51.100.7') x 3, '2001:db8::7';
    $milter->mail($text =~ s/evil\.test/far.test/gr, client => '198.51.100.7', from => '');
    my $cli = sub { my $out = `redis-cli -s '$redis->{socket}' --raw @_`; chomp $out; return $out };
    my ($today, $day) = map { strftime('%Y%m%d', gmtime(time - $_)) } 0, 86400;
    # It is tomorrow.
    for my $key (split /\n/, $cli->("keys 'gp:dmarc:*'")) {
        my $then = $key =~ s/\{\d+\}/{$day}/r;
        is $cli->("rename '$key' '$then'"), 'OK', "rows in $key";
    }
    mkdir "$dir/reports";
    my ($code, $out) = $mta->gatepost('dmarc', 'report', '-o', "$dir/reports");
    is $code, 0, 'dmarc report' or diag $out;
    my ($file) = glob "$dir/reports/gate.test!far.test!*.xml.gz";
    ok defined $file, 'its file' or diag($out), return;
    is $out, "$file\n$day: 1 reports written, 0 sent\n", 'said';
    system("gzip -dc '$file' >'$dir/report.xml'");
    is system("xmllint --noout --schema '$schema' '$dir/report.xml' >'$dir/xmllint' 2>&1"), 0, 'valid by the schema' or diag slurp("$dir/xmllint"), slurp("$dir/report.xml");
    my $xml = slurp("$dir/report.xml");
    is scalar(() = $xml =~ /<record>/g), 3, 'a row for equal messages';
    like $xml, qr{<source_ip>198\.51\.100\.7</source_ip><count>3</count><policy_evaluated><disposition>quarantine</disposition><dkim>fail</dkim><spf>fail</spf>};
    like $xml, qr{<dkim>pass</dkim>}, 'the aligned one';
    like $xml, qr{<selector>&lt;&amp;'&gt;</selector>}, 'escaped';
    like $xml, qr{<domain>far\.test</domain><adkim>s</adkim><aspf>r</aspf><p>quarantine</p>}, 'the policy';
    ($code, $out) = $mta->gatepost('dmarc', 'report', '--send', '-o', "$dir/reports");
    is $code, 0, 'sent' or diag $out;
    like $out, qr/far\.test: sent to agg\@far\.test\n.*far\.test: sent to agg\@third\.test/s, 'to the domain and who agreed';
    like $out, qr/agg\@other\.test has not agreed/, 'to nobody else';
    ok $mta->log_has(qr/to=<agg\@(?:far|third)\.test>.*status=sent/, times => 2), 'delivered';
    my ($mail) = grep { /^To: <agg\@far/m } map { ref $_ ? $_->{content} // $_->{data} // '' : $_ } $sink->messages;
    like $mail // '', qr/^Subject: Report Domain: far\.test Submitter: gate\.test Report-ID: <\S+>/m, 'its subject';
    my ($base64) = ($mail // '') =~ /\r?\n\r?\n(.*)/s;
    like decode_base64($base64 // ''), qr/\A\x1f\x8b/, 'gzip inside';
    ($code, $out) = $mta->gatepost('dmarc', 'report', '--send', '-o', "$dir/reports");
    like $out, qr/: 0 reports written, 0 sent/, 'once';
};

$mta->stop;
done_testing;
