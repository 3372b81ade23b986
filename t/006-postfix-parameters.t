#!/usr/bin/perl
# t/006-postfix-parameters.t - doc/postfix-parameters.md names each parameter of Postfix 3.7 once, and tells the truth: what it calls supported is
# declared and something comes of it, what it calls without effect is only known by name or nothing comes of it; gatepost takes all of them.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);
use Gatepost::Process qw(slurp spew);
use Test::More;

chdir dirname(dirname(abs_path(__FILE__))) or die $!;
my @postfix = split ' ', slurp('t/data/postfix-3.7-parameters');
my ($supported, $ignored) = slurp('doc/postfix-parameters.md') =~ /^## Supported\n(.*)^## Accepted, without effect\n(.*)/ms;
my %page;
push @{ $page{$_} }, 'supported' for $supported =~ /`(\w+)`/g;
push @{ $page{$_} }, 'ignored' for map { /^\| (`.*?`) \|/ ? $1 =~ /`(\w+)`/g : () } split /\n/, $ignored;
is join(' ', grep { !$page{$_} } @postfix), '', 'each is on the page';
is join(' ', grep { @{ $page{$_} } > 1 } sort keys %page), '', 'once';
my %known = map { $_ => 1 } @postfix;
is join(' ', grep { !$known{$_} } sort keys %page), '', 'and no other';
is join("\n", grep { /^\| `/ && !/\| [^|]{8,} \|$/ } split /\n/, $ignored), '', 'who has no effect has a reason';

# ---- the code: a parameter is asked for by its name, or by what stands behind smtp_ and lmtp_; or another one's default is made of it ----
my $text = qr/"((?:[^"\\]|\\.)*)"/;
my (%default, %declared);
for my $file (glob 'lib/conf/params_*.c') {
    my $source = slurp($file);
    $default{$1} = $2 while $source =~ /\{ $text, PARAM_\w+,\s*($text|[A-Z_]+)/g;
}
my $defaults = join "\n", values %default;
my $code = '';
find({ no_chdir => 1, wanted => sub { $code .= slurp($_) if /\.c\z/ && !m{^lib/conf/(?:params_|postfix_names)|/gatepost/(?:check|import)[^/]*\z} } }, qw(lib mta policyd milters));
my %literal = map { $_ => 1 } $code =~ /"(\w+)"/g;

sub has_effect {
    my ($name) = @_;
    return 1 if $literal{$name} || $defaults =~ /\$\{?\Q$name\E\b/ || $name =~ /^local_destination_(?:concurrency|recipient)_limit$/; # TRANSPORT_destination_...
    return $name =~ /^(?:smtp|lmtp)_(\w+)$/ && $literal{$1};
}

my @idle = grep { $known{$_} && !has_effect($_) } sort keys %default;
is join(' ', grep { !$default{$_} && !exists $default{$_} } grep { $page{$_}[0] eq 'supported' } sort keys %page), '', 'what is supported is declared';
is join(' ', grep { $page{$_}[0] eq 'supported' } @idle), '', '... and has an effect';
is join(' ', grep { !$known{$_} && !has_effect($_) } sort keys %default), '', 'so have all of our own';
is join(' ', grep { $page{$_}[0] eq 'ignored' && $literal{$_} } sort grep { $known{$_} } keys %default), '', 'what the code asks for is not called without effect';

my $gatepost = ($ENV{GATEPOST_BUILD} || 'build') . '/sbin/gatepost';
SKIP: {
    skip "no $gatepost", 1 unless -x $gatepost;
    my $dir = tempdir('gatepost-parameters.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    spew("$dir/main.cf", join '', map { "$_ = \$$_\n" =~ s/ = .*/ =/r } grep { $page{$_}[0] eq 'ignored' && !exists $default{$_} } @postfix);
    spew("$dir/master.cf", '');
    my @unknown = `'$gatepost' -c '$dir' check 2>&1` =~ /^(.*unknown parameter.*)$/mg;
    is join("\n", @unknown), '', 'gatepost knows the names of all';
}
# import says of each what the page says.
SKIP: {
    skip "no $gatepost", 1 unless -x $gatepost;
    my $dir = tempdir('gatepost-parameters.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    spew("$dir/main.cf", join '', map { "$_ = x\n" } @postfix);
    spew("$dir/master.cf", '');
    my %why = map { /^\| (`.*?`) \| (.*) \|$/ ? do { my $why = $2 =~ s/`//gr; map { $_ => $why } $1 =~ /`(\w+)`/g } : () } split /\n/, $ignored;
    my %said = map { /^main\.cf:\d+ +(\w+) +no effect +(.*)$/ ? ($1 => $2) : () } split /\n/, `'$gatepost' import '$dir'`;
    is join("\n", map { "$_: $why{$_}" } grep { ($said{$_} // '') ne $why{$_} } sort keys %why), '', 'import tells the same reasons';
    is join(' ', grep { !exists $why{$_} } sort keys %said), 'daemon_directory data_directory mail_owner queue_directory setgid_group',
        'of the others it says so where Gatepost has its own';
}
done_testing;
