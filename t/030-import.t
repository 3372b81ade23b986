#!/usr/bin/perl
# t/030-import.t - gatepost import: what it says of a Postfix configuration, and that what it writes is one that Gatepost takes.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
my $gatepost = ($ENV{GATEPOST_BUILD} || "$top/build") . '/sbin/gatepost';
plan skip_all => "no $gatepost" unless -x $gatepost;
my $dir = tempdir('gatepost-import.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/postfix";

sub put { my ($name, $text) = @_; open my $f, '>', "$dir/$name" or die "$name: $!"; print $f $text; close $f or die $! }
sub take { my $text = `'$gatepost' import @_ 2>&1`; return ($? >> 8, $text) }

put('postfix/aliases', "postmaster: root\n");
my @main = (
    "myhostname = mx.gate.test",                                       # 1
    "daemon_directory =",
    "    /usr/lib/postfix/sbin",
    "alias_maps = hash:$dir/postfix/aliases",                          # 4
    "smtpd_restriction_classes = greylisted",
    "greylisted = check_policy_service inet:127.0.0.1:10023",          # 6
    "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination,",
    "    check_policy_service unix:private/policyd-spf, greylisted",
    "transport_maps = proxy:nosuch:/etc/postfix/transport",            # 9
    "smtpd_sasl_type = cyrus",
    "my_own = x",                                                      # 11
    "smtpd_banner = \$my_own ESMTP",
    "smtpd_baner = typing error",                                      # 13
    "queue_directory = /var/spool/postfix",
    "mail_owner = nobody",
);
put('postfix/main.cf', join("\n", @main) . "\n");
put('postfix/master.cf', join "\n",
    'smtp      inet n - y - 1 postscreen',
    'smtpd     pass - - y - - smtpd',
    '  -o smtpd_sasl_type=cyrus',
    'tlsmgr    unix - - y 1000? 1 tlsmgr',
    'qmqp      inet n - y - - qmqpd',
    'pickup    unix n - y 60 1 pickup', '');

my ($status, $text) = take("$dir/postfix");
is $status, 65, 'something is refused: EX_DATAERR';
my @expected = (
    [qr/^main\.cf:2 +daemon_directory +no effect /m, 'what belongs to the installation'],
    [qr/^main\.cf:4 +alias_maps +differs .*text file/m, 'hash:'],
    [qr/^main\.cf:7 +smtpd_recipient_restrictions +differs .*check_spf/m, 'a policy service that is built in'],
    [qr/^main\.cf:9 +transport_maps +refused .*"nosuch"/m, 'a table type that does not exist'],
    [qr/^main\.cf:10 +smtpd_sasl_type +refused .*dovecot/m, 'Cyrus, with the remedy'],
    [qr/^main\.cf:13 +smtpd_baner +no effect .*typing error/m, 'an unknown name'],
    [qr/^master\.cf:1 +smtp +differs .*early checks/m, 'postscreen'],
    [qr/^master\.cf:2 +smtpd_sasl_type +refused/m, 'an override'],
    [qr/^master\.cf:4 +tlsmgr +no effect/m, 'a daemon that is not needed'],
    [qr/^master\.cf:5 +qmqp +refused/m, 'a daemon that does not exist'],
    [qr/^\d+ same, 3 differ, 5 without effect, 4 refused$/m, 'the sums'],
);
like $text, $_->[0], $_->[1] for @expected;
unlike $text, qr/^\S+ +(?:my_own|greylisted) /m, 'names of the user are his own';
like((take('-v', "$dir/postfix"))[1], qr/^main\.cf:12 +smtpd_banner +same/m, '-v tells of all');

my @rows = map { decode_json($_) } split /\n/, (take('--json', "$dir/postfix"))[1];
is_deeply [map { $_->{result} } grep { $_->{name} eq 'transport_maps' } @rows], ['refused'], '--json';

is((take('-w', "$dir/new", "$dir/postfix"))[0], 65, '-w');
my $written = do { local (@ARGV, $/) = "$dir/new/main.cf"; <> };
like $written, qr{^#- daemon_directory =\n#-     /usr/lib/postfix/sbin\nalias_maps}m, 'what has no meaning is a comment, with its continuation';
put('new/main.cf', $written . "mail_owner = nobody\nqueue_directory = $dir/queue\ndata_directory = $dir/data\n");
my $check = `'$gatepost' -c '$dir/new' check 2>&1`;
is $? >> 8, 0, 'Gatepost takes it' or diag $check;
is((take('-w', "$dir/new", "$dir/postfix"))[0], 73, 'files that exist stay');
is((take("$dir/nowhere"))[0], 66, 'no configuration there');

# ---- whole configurations, as they are in use: what is told of them, and that Gatepost takes the rest ----

my %content = (
    mailname => "example.com\n",
    'ldap-recipients.cf' => "server_host = ldap://127.0.0.1:9\nsearch_base = dc=example, dc=net\nquery_filter = mail=%s\nresult_attribute = mail\n",
);

# Its tables and files, most of them empty, below dir instead of /etc/postfix.
sub adopt {
    my ($name) = @_;
    my $to = "$dir/$name";
    mkdir $to;
    for my $file (qw(main.cf master.cf)) {
        my $text = do { local (@ARGV, $/) = "$top/t/data/import/$name/$file"; <> };
        $text =~ s{/etc/postfix}{$to}g;
        for my $path ($text =~ m{(\Q$to\E/[\w./-]+)}g) {
            my @parts = split m{/}, substr $path, length($to) + 1;
            mkdir join '/', $to, @parts[0 .. $_] for 0 .. $#parts - 1;
            put(substr($path, length($dir) + 1), $content{ $parts[-1] } // '');
        }
        put("$name/$file", $text);
    }
    return $to;
}

my %world = (
    gateway => {
        told => [ 'relay_domains differs', 'partner differs', 'smtpd_recipient_restrictions differs', 'postscreen_cache_map no effect', 'smtpd_tls_dh1024_param_file no effect',
            'smtp differs', 'tlsproxy no effect', 'policyd-spf refused' ],
        sums => '74 same, 8 differ, 25 without effect, 1 refused',
    },
    mailboxes => {
        told => [ 'virtual_mailbox_domains refused', 'virtual_alias_maps refused', 'smtpd_sender_login_maps refused', 'proxy_read_maps no effect', '628 refused', 'debug_peer_list no effect' ],
        sums => '65 same, 3 differ, 13 without effect, 5 refused',
        instead => sub { s/proxy:mysql:\S+?(?=[,\s])/inline:{x=y}/gr },
    },
    office => { told => [ 'alias_maps differs', 'delay_warning_tme no effect', 'postlog no effect' ],
        sums => '52 same, 5 differ, 12 without effect, 0 refused' },
);
for my $name (sort keys %world) {
    subtest "$name, in use" => sub {
        my %expected = %{ $world{$name} };
        my $from = adopt($name);
        system("cd '$from' && mkdir -p tls && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=mx -keyout tls/mx1.key -out tls/mx1.pem 2>/dev/null && cat tls/mx1.key tls/mx1.pem >tls/mail.pem && cp tls/mx1.pem tls/ca.pem && chmod 600 tls/mx1.key tls/mail.pem");
        my ($status, $report) = take($from);
        like $report, qr/^\S+ +\Q@{[ $_ =~ s{ .*}{}r ]}\E +\Q@{[ $_ =~ s{^\S+ }{}r ]}\E /m, $_ for @{ $expected{told} };
        like $report, qr/^\Q$expected{sums}\E$/m, $expected{sums};
        is $status, $report =~ / 0 refused$/m ? 0 : 65, 'the status says whether something is refused';
        take('-w', "$from/new", $from);
        my $main = do { local (@ARGV, $/) = "$from/new/main.cf"; <> };
        $main = $expected{instead}->() for $expected{instead} ? $main : ();
        put("$name/new/main.cf", $main . "mail_owner = nobody\nqueue_directory = $from/queue\ndata_directory = $from/data\n");
        my $said = `'$gatepost' -c '$from/new' check 2>&1`;
        is $? >> 8, 0, 'Gatepost takes what was written' or diag $said;
        is join("\n", grep { !/there is no group|no answer from|there is no certificate|TLS is not offered|^gatepost: 0 errors/ } split /\n/, $said), '',
            'and misses nothing but servers, a certificate and a group';
    };
}
done_testing;
