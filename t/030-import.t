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
done_testing;
